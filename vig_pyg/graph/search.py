"""A neighbor search that has not been made yet: for operators that need its neighbors, but no edges."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from vig_pyg.ops import Precision, knn_max_relative


class Search(NamedTuple):
    """What `vig_pyg.ops.knn` takes: targets `x (B, n, C)`, sources `y (B, m, C)`, and how they are compared.

    Features keep their gradients, so that an operator may aggregate what it finds.

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

    def max_relative(self) -> Tensor:
        """Each target beside its largest difference to a neighbor, `(B n, 2 C)`, interleaved."""
        x, y, k, step, bias, normalize, precision = self
        return knn_max_relative(x, y, k, step=step, bias=bias, normalize=normalize, precision=precision)
