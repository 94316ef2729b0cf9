"""Layers that are independent of graphs: multi-head linear layers, the FFN, and stochastic depth.

Shapes: N nodes, C channels, B images.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg.ops import linear_norm, mlp, multi_head_linear, recomputable


class MultiHeadLinear(nn.Module):
    r"""A linear layer with heads: each head has its own weights for its part of the channels.

    .. math:: y_h = W_h x_h + b_h, \quad x = [x_1, \dots, x_H]

    (multi-head update, Vision GNN, arXiv 2206.00272, section 3.1; a 1x1 convolution with H groups).

    Args:
        in_channels: Input channels, a multiple of `heads`.
        out_channels: Output channels, a multiple of `heads`.
        heads: Number of heads H.

    Shapes: `(N, in_channels)` to `(N, out_channels)`.

    Raises:
        ValueError: If `heads` does not divide both widths.

    Example:
        >>> MultiHeadLinear(8, 16, heads=4)(torch.rand(5, 8)).shape
        torch.Size([5, 16])
    """

    def __init__(self, in_channels: int, out_channels: int, *, heads: int = 1) -> None:
        super().__init__()
        if heads < 1 or in_channels % heads or out_channels % heads:
            raise ValueError(
                f"heads={heads} must divide in_channels={in_channels} and out_channels={out_channels}: "
                "choose another number of heads or other widths."
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.heads = heads
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // heads))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new weights (Kaiming normal initialization), and set the bias to 0."""
        _reset(self)

    @recomputable
    def forward(self, x: Tensor) -> Tensor:
        return multi_head_linear(x, self.weight, self.bias, self.heads)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, heads={self.heads}"


def linear_layer(in_channels: int, out_channels: int, *, heads: int = 1) -> nn.Linear | MultiHeadLinear:
    """Create a linear layer with the weight initialization of `MultiHeadLinear`.

    With one head the layer is an `nn.Linear`, so that tools that look for this class find it: quantization, LoRA,
    tensor parallelism, and FLOP counters. Names and shapes of the parameters are the same as for a `MultiHeadLinear`.

    Args:
        in_channels: Input channels, a multiple of `heads`.
        out_channels: Output channels, a multiple of `heads`.
        heads: Number of heads.

    Shapes: `(N, in_channels)` to `(N, out_channels)`.

    Example:
        >>> linear_layer(8, 16), linear_layer(8, 16, heads=4)
        (Linear(in_features=8, out_features=16, bias=True), MultiHeadLinear(8, 16, heads=4))
    """
    if heads != 1:
        return MultiHeadLinear(in_channels, out_channels, heads=heads)
    # On `meta`, so that its own initialization draws no random numbers.
    layer = nn.Linear(in_channels, out_channels, device="meta")
    layer.weight = nn.Parameter(torch.empty(out_channels, in_channels))
    layer.bias = nn.Parameter(torch.empty(out_channels))
    _reset(layer)
    return layer


def _reset(layer: nn.Linear | MultiHeadLinear) -> None:
    """Draw new weights (Kaiming normal initialization), and set the bias to 0."""
    nn.init.kaiming_normal_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class LinearNorm(nn.Sequential):
    """A linear layer followed by a batch norm over all nodes, like the 1x1 convolution and BN of the published code.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.

    Shapes: `(N, in_channels)` to `(N, out_channels)`.

    Example:
        >>> LinearNorm(8, 16)(torch.rand(5, 8)).shape
        torch.Size([5, 16])
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(linear_layer(in_channels, out_channels), nn.BatchNorm1d(out_channels))

    @recomputable
    def forward(self, x: Tensor) -> Tensor:
        return linear_norm(x, *self)


def multi_head_mlp(in_channels: int, out_channels: int, heads: int) -> nn.Sequential:
    """Create the MLP of a graph convolution: a multi-head linear layer, a batch norm, and GELU.

    Args:
        in_channels: Input channels, a multiple of `heads`.
        out_channels: Output channels, a multiple of `heads`.
        heads: Number of heads of the linear layer.

    Shapes: `(N, in_channels)` to `(N, out_channels)`.

    Example:
        >>> multi_head_mlp(8, 16, heads=4)(torch.rand(5, 8)).shape
        torch.Size([5, 16])
    """
    return nn.Sequential(linear_layer(in_channels, out_channels, heads=heads), nn.BatchNorm1d(out_channels), nn.GELU())


def reset_mlp(module: nn.Module) -> None:
    """Draw new weights for the linear layer of a module made by `multi_head_mlp`; other modules are not changed.

    `nn.Linear.reset_parameters` would use another distribution than `linear_layer`.

    Args:
        module: Any module.

    Example:
        >>> mlp = multi_head_mlp(8, 16, heads=1); reset_mlp(mlp); float(mlp[0].bias.detach().abs().max())
        0.0
    """
    kinds = [type(layer) for layer in module.children()] if type(module) is nn.Sequential else []
    if kinds == [nn.Linear, nn.BatchNorm1d, nn.GELU]:
        layer: Any = next(module.children())
        _reset(layer)


class DropPath(nn.Module):
    """Drops the residual branch of whole images in training (stochastic depth, arXiv 1603.09382).

    Args:
        p: Probability in [0, 1) that the branch of an image is dropped. The branches of the other images are scaled by
            `1 / (1 - p)`.

    Shapes: `x (N, C)`, the image index `batch (N,)` of each node and the number of images `num_graphs` to `(N, C)`.

    Raises:
        ValueError: If `p` is not in [0, 1).

    Example:
        >>> DropPath(0.5).eval()(torch.ones(2, 1), torch.tensor([0, 1]), 2).tolist()
        [[1.0], [1.0]]
    """

    def __init__(self, p: float = 0.0) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"drop_path is a probability in [0, 1), got {p}.")
        self.p = p

    def drops_nothing(self) -> bool:
        """True if the result is x itself, and no hook or subclass requires a call of the layer.

        Example:
            >>> DropPath(0.5).eval().drops_nothing(), DropPath(0.5).drops_nothing()
            (True, False)
        """
        if type(self) is not DropPath or "forward" in self.__dict__ or (self.p > 0 and self.training):
            return False
        if self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks:
            return False
        # torch.compile handles global hooks itself
        return torch.compiler.is_compiling() or not torch.nn.modules.module._has_any_global_hook()

    def forward(self, x: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
        if self.p == 0 or not self.training:
            return x
        keep = x.new_empty(num_graphs, 1).bernoulli_(1 - self.p).div_(1 - self.p)
        return x * keep[batch]

    def extra_repr(self) -> str:
        return f"p={self.p}"


class LayerScale(nn.Module):
    r"""Multiplies each channel of a residual branch by a learned factor (CaiT, arXiv 2103.17239, section 2.1).

    .. math:: y = \gamma \odot x

    Args:
        channels: Width C of the branch.
        init: Initial value of all factors; the published 1e-5 lets a deep network start close to the identity.

    Shapes: `(N, C)` to `(N, C)`.

    Example:
        >>> LayerScale(2, 0.5)(torch.ones(1, 2)).tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, channels: int, init: float = 1e-5) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), float(init)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma

    def extra_repr(self) -> str:
        return str(self.gamma.numel())


class FFN(nn.Module):
    r"""The feed-forward network on each node, with a residual connection.

    .. math:: x + \gamma \odot \mathrm{BN}(W_2\,\mathrm{GELU}(\mathrm{BN}(W_1 x)))

    (Vision GNN, arXiv 2206.00272, section 3.2, where :math:`\gamma = 1`).

    Args:
        channels: Width C of the nodes.
        hidden_channels: Width of the hidden layer; the published models use 4 C.
        drop_path: Probability of stochastic depth for the residual branch, in [0, 1).
        layer_scale: Initial value of the factors of the branch (see `LayerScale`); by default there are none.

    Shapes: `x (N, C)`, the image index `batch (N,)` of each node and the number of images `num_graphs` to `(N, C)`.

    Example:
        >>> FFN(8, 32)(torch.rand(4, 8), torch.zeros(4, dtype=torch.long), 1).shape
        torch.Size([4, 8])
    """

    def __init__(
        self, channels: int, hidden_channels: int, *, drop_path: float = 0.0, layer_scale: float | None = None
    ) -> None:
        super().__init__()
        self.fc1 = multi_head_mlp(channels, hidden_channels, heads=1)
        self.fc2 = LinearNorm(hidden_channels, channels)
        self.scale = None if layer_scale is None else LayerScale(channels, layer_scale)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
        if self.scale is None and self.drop_path.drops_nothing():
            return mlp(x, self.fc1, self.fc2, residual=x)
        out = mlp(x, self.fc1, self.fc2)
        return x + self.drop_path(out if self.scale is None else self.scale(out), batch, num_graphs)
