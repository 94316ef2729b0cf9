"""Max-Relative graph convolution whose differences are gated by similarity, as in AdaptViG."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor, nn

from vig_pyg.conv._types import MessagePassingOptions, Widths
from vig_pyg.conv.max_relative_conv import MaxRelativeConv
from vig_pyg.conv.registry import register_conv


@register_conv("mr_gated")
class GatedMaxRelativeConv(MaxRelativeConv):
    r"""Applies an MLP to each node and the maximum of the gated differences to its neighbors.

    .. math:: x_i' = \mathrm{MLP}\big(\big[x_i,\ \max_{j \in \mathcal{N}(i)} g_{ij} (x_j - x_i)\big]\big), \quad
        g_{ij} = \exp\big(-\lVert x_i - x_j \rVert_1 / T\big), \quad T = \tau C

    (exponential decay gating, AdaptViG, arXiv 2511.09942). The gate is near 1 for similar neighbors and near 0 for
    others. The temperature :math:`\tau` is learned, and positive because its logarithm is the parameter. It is
    multiplied by C, so that its initial value suits every width. The rest is that of `MaxRelativeConv`, except that the
    messages (E, C) are materialized, because the gates belong to edges.

    Args:
        in_channels: Width C of the nodes, at least 1; -1 stands for the width of the first input.
        out_channels: Width of the result, at least 1.
        heads: Number of heads of the linear layer, a divisor of both widths; 4 by default, like `MaxRelativeConv`.
        temperature: Initial value of :math:`\tau`, above 0; with the default 1, a mean difference of 1 in all channels
            has the gate 1 / e.
        **options: The options of PyG's `MessagePassing` (see `MaxRelativeConv`).

    Shapes: as for `MaxRelativeConv`.

    Raises:
        TypeError: As for `MaxRelativeConv`.
        ValueError: If `temperature` is not positive and finite, and as for `MaxRelativeConv`.
        IndexError: As for `MaxRelativeConv`.

    Example:
        >>> x, edge_index = torch.tensor([[5.0], [6.0]]), torch.tensor([[1], [0]])
        >>> [round(value, 3) for value in GatedMaxRelativeConv(1, 4, heads=1).combine(x, edge_index)[0].tolist()]
        [5.0, 0.368]
    """

    def __init__(
        self,
        in_channels: Widths,
        out_channels: int,
        *,
        heads: int = 4,
        temperature: float = 1.0,
        **options: Unpack[MessagePassingOptions],
    ) -> None:
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature}.")
        super().__init__(in_channels, out_channels, heads=heads, **options)
        self.first_temperature = float(temperature)
        self.log_temperature = nn.Parameter(torch.full((1,), math.log(temperature)))

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.constant_(self.log_temperature, math.log(self.first_temperature))

    def message(self, x_i: Tensor, x_j: Tensor) -> Tensor:
        difference = x_j - x_i
        distance = difference.abs().mean(1, keepdim=True)  # (E, 1), the L1 norm divided by C
        return difference * torch.exp(-distance * torch.exp(-self.log_temperature))
