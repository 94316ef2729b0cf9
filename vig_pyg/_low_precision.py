"""Weights in autocast's dtype, cached as long as the layer's own weights do not change."""

from __future__ import annotations

from itertools import accumulate
from math import gcd
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

from vig_pyg._kept import settle
from vig_pyg.layers import MultiHeadLinear

#: The layers that `fuse` combines with the activation after them.
Fusable = nn.Linear | MultiHeadLinear | nn.Conv2d


class _OnCPU:
    """Weight and bias in another dtype, with the data to detect that the layer's own weights have changed."""

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
        # The version counters are read first, so that a concurrent write is detected in the next call.
        self.version, self.version_bias = weight._version, bias._version
        self.address, self.address_bias = weight.data_ptr(), bias.data_ptr()
        self.strides = weight.stride(), bias.stride()
        self.probe, self.probe_bias = _probe(weight), _probe(bias)
        self.seen, self.seen_bias = self.probe.tobytes(), self.probe_bias.tobytes()
        self.dtype = dtype
        self.both = weight.detach().to(dtype), bias.detach().to(dtype)  # a convolution weight stays channels-last

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
    """The same for a layer on a GPU; its values are not read, because that would synchronize the device."""

    __slots__ = ("both", "dtype", "held", "versions", "views")

    def __init__(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> None:
        self.versions = weight._version, bias._version
        self.held = weight.detach(), bias.detach()  # keeps this memory from being allocated to another tensor
        self.views = _view(weight), _view(bias)
        self.dtype = dtype
        self.both = self.held[0].to(dtype), self.held[1].to(dtype)
        settle(*self.both)

    def fits(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
        versions, views = (weight._version, bias._version), (_view(weight), _view(bias))
        return versions == self.versions and views == self.views and dtype is self.dtype

    def refreshed(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> bool:
        """Convert the weights again after in-place changes, into the same memory, because CUDA graphs read it."""
        versions = weight._version, bias._version
        if (_view(weight), _view(bias)) != self.views or dtype is not self.dtype:
            return False
        with torch.inference_mode():  # the copies may have been created in inference mode
            for copy, held in zip(self.both, self.held, strict=True):
                copy.copy_(held)
        settle(*self.both)  # before other threads see the new versions
        self.versions = versions
        return True


def _is_recorded(tensor: Tensor) -> bool:
    """True while a CUDA graph is being captured."""
    return tensor.is_cuda and torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


def _view(tensor: Tensor) -> tuple[Any, ...]:
    """The memory address of a tensor, with its shape, strides and dtype."""
    place = tensor.untyped_storage()._cdata, tensor.storage_offset()
    return *place, tensor.dtype, tensor.shape, tensor.stride()


class LowPrecision:
    """The weight and bias of a layer in autocast's dtype, cached as long as the layer's own tensors do not change.

    torch counts most writes to a tensor (`_version`), but not those of fused optimizers, through `.data` or through
    NumPy. On a CPU such writes are detected by comparing the bias and some values of the weight, at least one in each
    row and each column, in every call. On a GPU this would synchronize the device, so only the counter and the memory
    address are compared. A CUDA graph reads the cached weights, so it uses in-place changes only after the next call
    outside of the graph. A copy made by `deepcopy` or `pickle` starts with an empty cache.

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
        self._kept: _OnCPU | _OnDevice | None = None  # replaced as a whole, so threads never mix two entries

    def of(self, layer: Fusable, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the weight and the bias of the layer in a floating-point dtype."""
        parameters = layer._parameters  # attribute lookup through nn.Module takes longer than the rest of this method
        weight, bias = parameters.get("weight"), parameters.get("bias")
        kept = self._kept
        if weight is None or bias is None or weight.is_inference() or bias.is_inference():
            return _converted(layer, dtype)  # inference tensors have no version counter, so nothing is cached
        if kept is None or not kept.fits(weight, bias, dtype):
            on_cpu = weight.is_cpu and bias.is_cpu
            if on_cpu and not all(part.dtype is not torch.bfloat16 and _is_dense(part) for part in (weight, bias)):
                return _converted(layer, dtype)  # the values are compared by NumPy, which has no bfloat16
            if not on_cpu and _is_recorded(weight):
                # During graph capture, results do not exist yet, so they cannot be cached.
                return _converted(layer, dtype)
            if isinstance(kept, _OnDevice) and kept.refreshed(weight, bias, dtype):
                return kept.both
            self._kept = kept = (_OnCPU if on_cpu else _OnDevice)(weight, bias, dtype)
        return kept.both

    def __reduce__(self) -> tuple[type[LowPrecision], tuple[()]]:
        return LowPrecision, ()


def _converted(layer: Fusable, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    assert layer.bias is not None  # `fuse` creates only layers with a bias
    return layer.weight.to(dtype), layer.bias.to(dtype)


def _is_dense(tensor: Tensor) -> bool:
    """True if the elements fill their memory without gaps or overlaps, which is not true of every view."""
    if tensor.is_contiguous():
        return True
    ends = sorted(zip(tensor.stride(), tensor.shape, strict=True))
    steps = list(accumulate((size for _, size in ends), mul, initial=1))
    return all(size == 1 or stride == step for (stride, size), step in zip(ends, steps, strict=False))


def _probe(tensor: Tensor) -> Any:
    """Return elements of a dense tensor as a view: all of a vector, otherwise at least one per row and per column.

    The view keeps the memory allocated, so that no other tensor can get the same address.
    """
    # Number of elements, and number of elements in a row of memory.
    count, row = tensor.numel(), max(tensor.stride(), default=1)
    step = 1 if row == 1 else max(1, min(row, count // row))
    while gcd(step, row) > 1:  # with a step coprime to the row length, every column is visited
        step -= 1
    return tensor.detach().as_strided((count,), (1,))[::step].numpy()
