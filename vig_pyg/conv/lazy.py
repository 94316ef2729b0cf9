"""MLPs whose input width is known only at the first call, as in PyG's operators with `in_channels=-1`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from vig_pyg.layers import MultiHeadLinear, multi_head_mlp


class LazyMultiHeadLinear(LazyModuleMixin, MultiHeadLinear):
    """A linear layer whose widths are set by `complete`, which also turns it into an ordinary linear layer.

    Args:
        out_channels: Output channels, or -1 for the number of input channels.
        heads: Number of heads.

    Shapes: `(N, C)` to `(N, out_channels)`.

    Raises:
        ValueError: If `heads` does not divide the widths.

    Example:
        >>> layer = LazyMultiHeadLinear(16, heads=4); layer(torch.rand(5, 8)).shape, type(layer).__name__
        (torch.Size([5, 16]), 'MultiHeadLinear')
    """

    cls_to_become: type[nn.Module] = MultiHeadLinear
    weight: Any  # a parameter without a shape until the first call
    bias: Any

    def __init__(self, out_channels: int, *, heads: int = 1) -> None:
        if heads < 1 or (out_channels > 0 and out_channels % heads):
            raise ValueError(f"heads={heads} must divide out_channels={out_channels}: choose another number of heads.")
        super().__init__(heads, max(out_channels, heads), heads=heads)
        if heads == 1:
            self.cls_to_become = nn.Linear
        self.in_channels, self.out_channels = -1, out_channels
        self.weight = UninitializedParameter()
        if out_channels < 0:
            self.bias = UninitializedParameter()

    def reset_parameters(self) -> None:
        """Draw new weights, if the widths are known."""
        if "weight" in self._parameters and not self.has_uninitialized_params():
            super().reset_parameters()

    def shape_for(self, width: int) -> tuple[int, int]:
        """Return the shape of the weights for a width of the input.

        Raises:
            ValueError: If the heads do not divide the widths, or weights of another shape were loaded.
        """
        out = width if self.out_channels < 0 else self.out_channels
        if width % self.heads or out % self.heads:
            raise ValueError(
                f"heads={self.heads} must divide in_channels={width} and out_channels={out}: choose another number of "
                "heads or other widths."
            )
        shape = out, width // self.heads
        if not isinstance(self.weight, UninitializedParameter) and tuple(self.weight.shape) != shape:
            raise ValueError(
                f"The loaded weights have the shape {tuple(self.weight.shape)}, but these nodes need {shape}."
            )
        return shape

    def initialize_parameters(self, x: Tensor) -> None:
        """Set the widths from those of the input; weights that were loaded are kept.

        Raises:
            ValueError: As `shape_for`.
        """
        width = x.shape[-1]
        shape = self.shape_for(width)
        self.in_channels, self.out_channels = width, shape[0]
        self.in_features, self.out_features = width, shape[0]  # the names that `nn.Linear` uses
        if self.has_uninitialized_params():
            with torch.no_grad():
                for part, size, draw in (
                    (self.weight, shape, nn.init.kaiming_normal_),
                    (self.bias, shape[:1], nn.init.zeros_),
                ):
                    if isinstance(part, UninitializedParameter):
                        part.materialize(size)
                        draw(part)


def lazy_mlp(in_channels: int, out_channels: int, heads: int) -> nn.Sequential:
    """As `multi_head_mlp`, but widths may be -1 until `complete` sets them.

    Example:
        >>> mlp = lazy_mlp(-1, 16, heads=4); complete([(mlp, 8)]); mlp(torch.rand(5, 8)).shape
        torch.Size([5, 16])
    """
    if in_channels > 0 and out_channels > 0:
        return multi_head_mlp(in_channels, out_channels, heads=heads)
    norm = nn.BatchNorm1d(out_channels) if out_channels > 0 else _lazy_norm()
    return nn.Sequential(LazyMultiHeadLinear(out_channels, heads=heads), norm, nn.GELU())


class _Unset(UninitializedBuffer):
    """A buffer without a shape that, like torch's parameters without a shape, can be deep-copied."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Unset:
        if id(self) not in memo:
            make: Any = type(self)  # the type stub lacks the arguments
            memo[id(self)] = make(device=self.data.device, dtype=self.data.dtype)
        copied: _Unset = memo[id(self)]
        return copied


def _lazy_norm() -> nn.LazyBatchNorm1d:
    norm = nn.LazyBatchNorm1d()
    norm.running_mean, norm.running_var = _Unset(), _Unset()
    return norm


def complete(parts: Sequence[tuple[nn.Sequential, int]]) -> None:
    """Set the widths of MLPs from `lazy_mlp`, which makes their layers ordinary ones; after an error, none is changed.

    Args:
        parts: The MLPs, each with its number of input channels.

    Raises:
        ValueError: If the heads do not divide a width, or weights of another width were loaded.

    Example:
        >>> mlp = lazy_mlp(-1, -1, heads=4); complete([(mlp, 8)]); mlp(torch.rand(5, 8)).shape
        torch.Size([5, 8])
    """
    for mlp, width in parts:
        if isinstance(mlp[0], LazyMultiHeadLinear):
            mlp[0].shape_for(width)
    with torch.inference_mode(False):  # parameters that are created in inference mode cannot be trained
        for mlp, width in parts:
            for layer in mlp:
                if isinstance(layer, LazyModuleMixin):
                    layer._infer_parameters(layer, (torch.empty(0, width, device="meta"),))
                width = getattr(layer, "out_channels", width)
