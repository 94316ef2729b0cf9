"""A device like an Apple GPU, played on the CPU: it has no float64, and nothing on it mixes with the CPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

from tests.one_thread import InThisThread
from vig_pyg.ops import _knn_plain

NAME = "mps"
DEVICE = torch.device(NAME)
#: Torch without Metal makes no tensor of it: below Python these are tensors of this device, which hold nothing.
BELOW = "meta"
#: Types that such a device lacks.
LACKING = (torch.float64, torch.complex128)
_ANY_DEVICE = ("aten._to_copy", "aten.copy_", "aten.index.Tensor", "aten.index_put")


class OnDevice(Tensor):
    """A tensor that says it is on the device; its numbers are in `held`, on the CPU."""

    @staticmethod
    def __new__(cls, inner):
        options = {"strides": inner.stride(), "storage_offset": inner.storage_offset(), "dtype": inner.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, inner.size(), device=BELOW, **options)

    def __init__(self, inner):
        self.held = inner

    @property
    def device(self):
        return DEVICE

    def __repr__(self):
        return f"OnDevice({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def run(func, args, kwargs):
    """An operation of the device: where `device` or an argument says so, else of the CPU."""
    name = str(func)
    tensors = [part for part in tree_flatten((args, kwargs))[0] if isinstance(part, Tensor)]
    ours = [part for part in tensors if isinstance(part, OnDevice)]
    here = torch.device(kwargs["device"]).type == BELOW if kwargs.get("device") is not None else bool(ours)
    if ours and not name.startswith(_ANY_DEVICE):
        others = [part for part in tensors if not isinstance(part, OnDevice) and part.dim()]
        assert not others, f"{name} mixes the device with the CPU"
    if here and name.startswith("vig_pyg.knn"):
        with Factories(), Names():
            return _knn_plain.knn_plain(*args, **kwargs)  # what other devices than CPU and CUDA run
    assert not (here and name.startswith(("torch_", "vig_pyg."))), f"{name} has no kernel for {NAME}"
    if here and "device" in kwargs:
        kwargs = kwargs | {"device": "cpu"}
    inner_args, inner_kwargs = tree_map(_inner, (args, kwargs))
    out = func(*inner_args, **inner_kwargs)
    back = {id(part.held): part for part in ours}  # of in-place operations

    def wrap(part):
        if not here or not isinstance(part, Tensor):
            return part
        assert part.dtype not in LACKING, f"{name} makes {part.dtype} on the device"
        return back[id(part)] if id(part) in back else OnDevice(part)

    return tree_map(wrap, out)


def _inner(part):
    return part.held if isinstance(part, OnDevice) else part


class Factories(TorchDispatchMode):
    """New tensors on the device, which no argument tells of."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class Names(TorchFunctionMode):
    """The device by its name."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        def below(part):
            is_device = isinstance(part, (str, torch.device)) and str(part) == NAME
            return torch.device(BELOW) if is_device else part

        kwargs = kwargs or {}
        if func is torch.tensor and str(kwargs.get("device")) == NAME:  # made below the dispatcher
            return OnDevice(func(*args, **kwargs | {"device": "cpu"}))
        args, kwargs = tree_map(below, (tuple(args), kwargs))
        return func(*args, **kwargs)


@contextmanager
def other_device():
    """Code within may use the device `"mps"`, on any machine."""
    autocast = torch.autocast

    def known(device_type, *args, **kwargs):  # torch without Metal has none for it
        return nullcontext() if device_type == NAME else autocast(device_type, *args, **kwargs)

    # a mode is of one thread
    in_this_thread = patch("vig_pyg.position.ThreadPoolExecutor", InThisThread)
    with Factories(), Names(), patch.object(torch, "autocast", known), in_this_thread:
        yield DEVICE


def put(tensor):
    """A tensor, or a module's parameters and buffers, on the device."""
    if isinstance(tensor, torch.nn.Module):
        for module in tensor.modules():
            for name, part in module._parameters.items():
                if part is not None:
                    module._parameters[name] = torch.nn.Parameter(OnDevice(part.detach()), part.requires_grad)
            for name, part in module._buffers.items():
                module._buffers[name] = part if part is None else OnDevice(part)
        return tensor
    return OnDevice(tensor)
