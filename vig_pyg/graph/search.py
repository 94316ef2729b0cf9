"""The arguments of a neighbor search, for operators that aggregate the neighbors without building edges."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor

from vig_pyg.ops import Precision, knn_max_relative


class Search(NamedTuple):
    """The arguments of a call of `vig_pyg.ops.knn`.

    The features are not detached, so an operator that aggregates the neighbors stays differentiable.

    Args:
        x: Targets `(B, n, C)`.
        y: Sources `(B, m, C)`.
        k: Number of nearest sources that are ranked.
        step: Spacing of the selected neighbors among these sources.
        bias: Term added to the similarity, `(1, n, m)`, or `None`.
        normalize: If true, the features are L2-normalized for the search.
        precision: Precision of the matrix products on a GPU (see `DilatedKNN`).
        grid_width: Width W of the grid of the targets if `bias` contains column and row terms, `(1, W + H, m)`;
            otherwise 0.

    Example:
        >>> import torch
        >>> x = torch.tensor([[[1.0], [4.0]]]); Search(x, x, k=2).max_relative().tolist()
        [[1.0, 3.0], [4.0, 0.0]]
    """

    x: Tensor
    y: Tensor
    k: int
    step: int = 1
    bias: Tensor | None = None
    normalize: bool = False
    precision: Precision = "highest"
    grid_width: int = 0

    def max_relative(self) -> Tensor:
        """Return the features of the targets interleaved with their max-relative features, `(B n, 2 C)`."""
        x, y, k, step, bias, normalize, precision, width = self
        options: dict[str, Any] = {"normalize": normalize, "precision": precision, "grid_width": width}
        return knn_max_relative(x, y, k, step=step, bias=bias, **options)
