"""A model rewritten for inference: batch norm folded away, activations joined, wide intermediates in slices."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from itertools import accumulate, pairwise
from math import gcd
from operator import mul
from typing import Any, NamedTuple, Self, TypeVar

import torch
from torch import Tensor, nn

from vig_pyg.conv import EdgeConv
from vig_pyg.layers import FFN, LinearNorm, MultiHeadLinear

ModuleT = TypeVar("ModuleT", bound=nn.Module)

#: Bytes of an FFN's hidden features held at once: what fits a cache is not fetched from memory again.
HIDDEN_BUDGET = 12 * 2**20


class _Low:
    """Weight and bias in bfloat16, and how to tell that they are those of the layer still."""

    __slots__ = (
        "address",
        "address_bias",
        "both",
        "probe",
        "probe_bias",
        "seen",
        "seen_bias",
        "strides",
        "version",
        "version_bias",
    )

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        # these first: what another thread writes in between is noticed next time
        self.version, self.version_bias = weight._version, bias._version
        self.address, self.address_bias = weight.data_ptr(), bias.data_ptr()
        self.strides = weight.stride(), bias.stride()
        self.probe, self.probe_bias = _probe(weight), _probe(bias)
        self.seen, self.seen_bias = self.probe.tobytes(), self.probe_bias.tobytes()
        self.both = weight.detach().bfloat16(), bias.detach().bfloat16()  # a convolution's stays channels-last

    def fits(self, weight: Tensor, bias: Tensor) -> bool:
        return (
            weight.data_ptr() == self.address
            and bias.data_ptr() == self.address_bias
            and weight._version == self.version
            and bias._version == self.version_bias
            and (weight.stride(), bias.stride()) == self.strides
            and self.probe.tobytes() == self.seen
            and self.probe_bias.tobytes() == self.seen_bias
        )


class LowPrecision:
    """The weight and bias of a layer in bfloat16, kept while these stay as they are.

    torch counts most writes to a tensor (`_version`), but not those of fused optimizers, through `.data` and through
    NumPy. These are noticed by the bias and by some numbers of the weight, one at least in each row and each column,
    that are looked at again at each call. Copies, by `deepcopy` or `pickle`, start empty.

    Example:
        >>> layer = nn.Conv2d(1, 1, 1); low = LowPrecision()
        >>> low.of(layer)[0] is low.of(layer)[0]
        True
        >>> layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})
        <All keys matched successfully>
        >>> torch.equal(low.of(layer)[0], layer.weight.bfloat16())
        True
    """

    def __init__(self) -> None:
        self._kept: _Low | None = None  # read and replaced in one step: threads never mix two

    def of(self, layer: MultiHeadLinear | nn.Conv2d) -> tuple[Tensor, Tensor]:
        """Weight and bias of the layer in bfloat16."""
        parameters = layer._parameters  # a module's own look-up of attributes costs more than all that follows
        weight, bias = parameters.get("weight"), parameters.get("bias")
        kept = self._kept
        if weight is None or bias is None or weight.is_inference() or bias.is_inference():
            return _converted(layer)  # computed at each use, or nobody counts writes
        if kept is None or not kept.fits(weight, bias):
            if not all(part.dtype is not torch.bfloat16 and _is_dense(part) for part in (weight, bias)):
                return _converted(layer)  # NumPy knows no bfloat16
            self._kept = kept = _Low(weight, bias)
        return kept.both

    def __reduce__(self) -> tuple[type[LowPrecision], tuple[()]]:
        return LowPrecision, ()


def _converted(layer: MultiHeadLinear | nn.Conv2d) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None  # `_join` takes no others
    return layer.weight.bfloat16(), layer.bias.bfloat16()


def _is_dense(tensor: Tensor) -> bool:
    """Whether its numbers fill their memory, one each: views may have gaps, or one number for many."""
    if tensor.is_contiguous():
        return True
    ends = sorted(zip(tensor.stride(), tensor.shape, strict=True))
    steps = list(accumulate((size for _, size in ends), mul, initial=1))
    return all(size == 1 or stride == step for (stride, size), step in zip(ends, steps, strict=False))


def _probe(tensor: Tensor) -> Any:
    """Numbers of a dense tensor, as a view: all of a vector, of others at least one in each row and each column.

    The view holds the memory, so that no other tensor comes to lie at this address.
    """
    count, row = tensor.numel(), max(tensor.stride(), default=1)  # numbers, and those of one row in memory
    step = 1 if row == 1 else max(1, min(row, count // row))
    while gcd(step, row) > 1:  # it comes by every column before it repeats one
        step -= 1
    return tensor.detach().as_strided((count,), (1,))[::step].numpy()


class FusedMap(nn.Module):
    """A linear map or convolution, and the GELU behind it, in one call where that is faster.

    Under bfloat16 autocast it keeps its weights in bfloat16, which autocast would convert at every call.

    Args:
        layer: The map, its batch norm folded.
        gelu: Whether GELU follows.

    Shapes: those of the map.
    """

    def __init__(self, layer: MultiHeadLinear | nn.Conv2d, *, gelu: bool) -> None:
        super().__init__()
        self.layer = layer
        self.gelu = gelu
        self._low = LowPrecision()

    def forward(self, x: Tensor) -> Tensor:
        if _takes_bfloat16(x):
            return self._bfloat16(x if x.dtype == torch.bfloat16 else x.bfloat16())
        out: Tensor = self.layer(x)
        return torch.ops.aten.gelu_(out) if self.gelu else out  # in place: the map's result is fresh

    def _bfloat16(self, x: Tensor) -> Tensor:
        layer: Any = self._modules["layer"]
        weight, bias = self._low.of(layer)
        after: tuple[str, list[float], str] = ("gelu", [], "none") if self.gelu else ("none", [], "")
        if isinstance(layer, MultiHeadLinear):
            if layer.heads == 1:
                return _pointwise().linear(x, weight, bias, *after)
            row = x[None, None].permute(0, 3, 1, 2)  # (N, in) -> (1, in, 1, N), channels last
            one, weight = [1, 1], weight[..., None, None]
            out = _pointwise().convolution(row, weight, bias, [0, 0], one, one, layer.heads, *after)
            return out[0, :, 0].t()  # (1, out, 1, N) -> (N, out)
        sizes = layer.padding, layer.stride, layer.dilation, layer.groups
        return _pointwise().convolution(x, weight, bias, *sizes, *after)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._low = LowPrecision()  # another device or dtype: the old memory is not held any longer
        return super()._apply(fn, recurse)


class _Pointwise(NamedTuple):
    linear: Callable[..., Tensor]
    convolution: Callable[..., Tensor]


@cache
def _pointwise() -> _Pointwise:
    """Linear layer and convolution of oneDNN with what follows them; to look up an overload each time is not free."""
    ops = torch.ops.mkldnn
    return _Pointwise(ops._linear_pointwise.default, ops._convolution_pointwise.default)


@cache
def _has_bfloat16() -> bool:
    """Whether torch has oneDNN's fused maps, and the CPU bfloat16."""
    names = "_linear_pointwise", "_convolution_pointwise", "_is_mkldnn_bf16_supported"
    found = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)
    return found and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _takes_bfloat16(x: Tensor) -> bool:
    return (
        x.is_cpu
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not torch.compiler.is_compiling()
        and x.numel() > 0
        and _has_bfloat16()
    )


class FusedFFN(nn.Module):
    """The FFN on slices of the nodes.

    Args:
        ffn: The FFN, its batch norms folded.

    Shapes: as `FFN`.
    """

    def __init__(self, ffn: FFN) -> None:
        super().__init__()
        fc1, fc2 = ffn.fc1[0], ffn.fc2[0]
        assert isinstance(fc1, MultiHeadLinear) and isinstance(fc2, MultiHeadLinear)
        self.fc1 = FusedMap(fc1, gelu=True)
        self.fc2 = FusedMap(fc2, gelu=False)
        self.hidden_channels = fc1.out_channels

    def forward(self, x: Tensor, batch: Tensor, num_graphs: int) -> Tensor:  # noqa: ARG002  (the FFN's contract)
        whole = x.size(0) * self.hidden_channels * x.element_size()
        if torch.compiler.is_compiling() or whole <= HIDDEN_BUDGET:  # compilers find their own slices, for any size
            return self.fc2(self.fc1(x)) + x
        rows = max(1, HIDDEN_BUDGET // (self.hidden_channels * (2 if _takes_bfloat16(x) else x.element_size())))
        if x.size(0) <= rows:
            return self.fc2(self.fc1(x)) + x
        rows = -(-x.size(0) // -(-x.size(0) // rows))  # slices of one size
        out = torch.empty_like(x)
        for here, there in zip(out.split(rows), x.split(rows), strict=True):
            torch.add(self.fc2(self.fc1(there)), there, out=here)
        return out


@torch.no_grad()
def fuse(model: ModuleT) -> ModuleT:
    r"""A faster copy for inference, in evaluation mode; its outputs equal the model's up to rounding.

    Every batch norm is folded into the linear map or convolution before it,

    .. math:: \gamma\,\frac{W x + b - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta = W' x + b'

    activations run in place or with the map before them, and the FFN runs on slices of the nodes. Under bfloat16
    autocast on a CPU the weights are kept in bfloat16 too.

    Args:
        model: A model, or any module whose batch norms follow a `MultiHeadLinear` or a `Conv2d`.

    Returns:
        The copy. It cannot be trained, and its weights are not those of a checkpoint: save the model instead.

    Example:
        >>> from vig_pyg import vig_micro
        >>> any(isinstance(m, torch.nn.BatchNorm1d) for m in fuse(vig_micro()).modules())
        False
    """
    fused = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(fused.modules()):
        for (_, layer), (name, norm) in pairwise(list(parent.named_children())):
            if isinstance(layer, MultiHeadLinear | nn.Conv2d) and isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                _fold(layer, norm)
                setattr(parent, name, nn.Identity())
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, FFN):
                setattr(parent, name, FusedFFN(child))
    kept = {part for module in fused.modules() if isinstance(module, EdgeConv) for part in module.modules()}
    for parent in list(fused.modules()):
        if not isinstance(parent, FusedMap) and parent not in kept:  # EdgeConv looks into its linear map
            _join(parent)
    for parent in list(fused.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LinearNorm) and isinstance(child[0], FusedMap):  # nothing is left behind its map
                setattr(parent, name, child[0])
    return fused.eval()  # the new parts too


def _join(parent: nn.Module) -> None:
    """Children that are maps become `FusedMap`s, with the GELU that follows."""
    children = [(name, child) for name, child in parent.named_children() if not isinstance(child, nn.Identity)]
    for (name, child), (after, following) in zip(children, [*children[1:], ("", None)], strict=False):
        if isinstance(child, MultiHeadLinear | nn.Conv2d) and child.bias is not None:
            gelu = type(following) is nn.GELU
            setattr(parent, name, FusedMap(child, gelu=gelu))
            if gelu:
                setattr(parent, after, nn.Identity())


def _fold(layer: MultiHeadLinear | nn.Conv2d, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> None:
    mean, var = norm.running_mean, norm.running_var
    assert mean is not None and var is not None and layer.bias is not None
    # in float64: folding is done once, and its rounding would stay in every output
    scale = norm.weight.double() / (var.double() + norm.eps).sqrt()
    bias = (layer.bias.double() - mean.double()) * scale + norm.bias.double()
    weight: Tensor = layer.weight.double() * scale.view(-1, *[1] * (layer.weight.dim() - 1))
    if weight.dim() == 4:  # as its input will be: no copy at every call
        weight = weight.contiguous(memory_format=torch.channels_last)
    layer.weight.data = weight.to(layer.weight.dtype)
    layer.bias.data = bias.to(layer.bias.dtype)
