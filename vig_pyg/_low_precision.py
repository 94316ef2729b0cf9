"""Weights in the type of autocast, kept while the layer's own weights stay as they are."""

from __future__ import annotations

from itertools import accumulate
from math import gcd
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg.layers import MultiHeadLinear

#: The layers that `fuse` joins with the activation after them.
Fusable = nn.Linear | MultiHeadLinear | nn.Conv2d


class _OnCPU:
    """Weight and bias in another type, and how to tell that they are those of the layer still."""

    __slots__ = (
        "address",
        "address_bias",
        "both",
        "dtype",
        "probe",
        "probe_bias",
        "seen",
        "seen_bias",
        "strides",
        "version",
        "version_bias",
    )

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        # these first: what another thread writes in between is noticed next time
        self.version, self.version_bias = weight._version, bias._version
        self.address, self.address_bias = weight.data_ptr(), bias.data_ptr()
        self.strides = weight.stride(), bias.stride()
        self.probe, self.probe_bias = _probe(weight), _probe(bias)
        self.seen, self.seen_bias = self.probe.tobytes(), self.probe_bias.tobytes()
        self.dtype = dtype
        self.both = weight.detach().to(dtype), bias.detach().to(dtype)  # a convolution's stays channels-last

    def fits(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
        return (
            weight.data_ptr() == self.address
            and bias.data_ptr() == self.address_bias
            and weight._version == self.version
            and bias._version == self.version_bias
            and dtype is self.dtype
            and (weight.stride(), bias.stride()) == self.strides
            and self.probe.tobytes() == self.seen
            and self.probe_bias.tobytes() == self.seen_bias
        )


class _OnDevice:
    """The same on a GPU, which is not asked for a number: that would make the program wait for it."""

    __slots__ = ("both", "dtype", "held", "versions", "views")

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.versions = weight._version, bias._version
        self.held = weight.detach(), bias.detach()  # so that no other tensor comes to lie at this address
        self.views = _view(weight), _view(bias)
        self.dtype = dtype
        self.both = self.held[0].to(dtype), self.held[1].to(dtype)

    def fits(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
        versions, views = (weight._version, bias._version), (_view(weight), _view(bias))
        return versions == self.versions and views == self.views and dtype is self.dtype

    def refreshed(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
        """Converts weights again that were written where they lie, into the same memory: CUDA graphs read it."""
        versions = weight._version, bias._version
        if (_view(weight), _view(bias)) != self.views or dtype is not self.dtype:
            return False
        with torch.inference_mode():  # the copies may have been made in it
            for copy, held in zip(self.both, self.held, strict=True):
                copy.copy_(held)
        self.versions = versions
        return True


def _is_recorded(tensor: Tensor) -> bool:
    """Whether a CUDA graph is being captured."""
    return tensor.is_cuda and torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def _view(tensor: Tensor) -> tuple[Any, ...]:
    """Which memory a tensor shows, and how."""
    place = tensor.untyped_storage()._cdata, tensor.storage_offset()
    return *place, tensor.dtype, tensor.shape, tensor.stride()


class LowPrecision:
    """The weight and bias of a layer in the type of autocast, kept while these stay as they are.

    torch counts most writes to a tensor (`_version`), but not those of fused optimizers, through `.data` and through
    NumPy. On a CPU these are noticed by the bias and by some numbers of the weight, one at least in each row and each
    column, that are looked at again at each call. A GPU is not asked, it would have to be waited for: there the
    counter and the place in memory decide. A CUDA graph reads what is kept: it sees weights written in place after the
    next call outside of it. Copies, by `deepcopy` or `pickle`, start empty.

    Example:
        >>> layer = nn.Conv2d(1, 1, 1); low = LowPrecision()
        >>> low.of(layer, torch.bfloat16)[0] is low.of(layer, torch.bfloat16)[0]
        True
        >>> layer.load_state_dict({name: 2 * value for name, value in layer.state_dict().items()})
        <All keys matched successfully>
        >>> torch.equal(low.of(layer, torch.bfloat16)[0], layer.weight.bfloat16())
        True
    """

    def __init__(self) -> None:
        self._kept: _OnCPU | _OnDevice | None = None  # read and replaced in one step: threads never mix two

    def of(self, layer: Fusable, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Weight and bias of the layer in a floating-point type."""
        parameters = layer._parameters  # a module's own look-up of attributes costs more than all that follows
        weight, bias = parameters.get("weight"), parameters.get("bias")
        kept = self._kept
        if weight is None or bias is None or weight.is_inference() or bias.is_inference():
            return _converted(layer, dtype)  # computed at each use, or nobody counts writes
        if kept is None or not kept.fits(weight, bias, dtype):
            on_cpu = weight.is_cpu and bias.is_cpu
            if on_cpu and not all(part.dtype is not torch.bfloat16 and _is_dense(part) for part in (weight, bias)):
                return _converted(layer, dtype)  # NumPy knows no bfloat16
            if not on_cpu and _is_recorded(weight):
                return _converted(layer, dtype)  # a recording computes nothing yet that others could read
            if isinstance(kept, _OnDevice) and kept.refreshed(weight, bias, dtype):
                return kept.both
            self._kept = kept = (_OnCPU if on_cpu else _OnDevice)(weight, bias, dtype)
        return kept.both

    def __reduce__(self) -> tuple[type[LowPrecision], tuple[()]]:
        return LowPrecision, ()


def _converted(layer: Fusable, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None  # `fuse` keeps no others
    return layer.weight.to(dtype), layer.bias.to(dtype)


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
