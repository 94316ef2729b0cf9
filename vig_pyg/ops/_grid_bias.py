r"""The bias of targets on a grid, as the sum of a column term and a row term.

Equation: :math:`b_{is} = a_{i \bmod W, s} + a_{W + \lfloor i / W \rfloor, s}` for target i of a grid of H rows and W
columns in raster order. Shapes: terms a `(1 or B, W + H, m)`, bias `(1 or B, H W, m)`.

Products of sin-cos position codes have this form. On a large grid, the bias would be larger than all features, while
the terms need little memory: for 200 x 320 targets and 4000 sources, 8 MB instead of 1 GB.
"""

from __future__ import annotations

import torch
from torch import Tensor


def bias_rows(num_targets: int, bias: Tensor | None, grid_width: int) -> tuple[int, ...]:
    """Return the valid numbers of rows of a bias (1 and n), or of the terms of a grid (W + H).

    Args:
        grid_width: Number of columns W of the grid; 0 if the bias itself is given.

    Raises:
        ValueError: If the targets do not fill a grid of this width, or there is no bias.
    """
    if grid_width == 0:
        return 1, num_targets
    if grid_width < 0 or num_targets % grid_width or bias is None:
        raise ValueError(
            f"grid_width={grid_width} needs a bias, and a number of targets that it divides, got "
            f"{'no bias' if bias is None else 'one'} and {num_targets} targets."
        )
    return (grid_width + num_targets // grid_width,)


def grid_bias(terms: Tensor, grid_width: int, start: int, stop: int) -> Tensor:
    """Compute the bias of a range of targets.

    Args:
        terms: The terms `(1 or B, W + H, m)`.
        grid_width: Number of columns W of the grid.

    Returns:
        The bias `(1 or B, stop - start, m)`.

    Example:
        >>> grid_bias(torch.tensor([[[1.0], [2.0], [10.0], [20.0]]]), 2, 0, 4).flatten().tolist()
        [11.0, 12.0, 21.0, 22.0]
    """
    target = torch.arange(start, stop, device=terms.device)
    return terms[:, target % grid_width] + terms[:, grid_width + target // grid_width]
