"""What a model issues on a GPU, without one: fake tensors on the device `cuda`, which know shapes and no numbers."""

import copy
from collections import Counter
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from vig_pyg import position

#: Operators that start nothing on a GPU.
_FREE = (
    "view",
    "_unsafe_view",
    "permute",
    "expand",
    "transpose",
    "unsqueeze",
    "select",
    "slice",
    "split",
    "detach",
    "alias",
    "empty",
)
_FREE += ("as_strided", "device", "promote_types", "squeeze", "chunk", "t.default", "reshape", "unbind", "empty_like")
#: Operators for which the program waits for the GPU.
_WAITING = ("_local_scalar_dense", "item", "nonzero", "masked_select", "is_nonzero", "equal", "unique")


class Issued(TorchDispatchMode):
    """Counts the operators that start work on the GPU, by their names without overloads."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()
        self.devices = set()  # of the tensors that operators read

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        name = str(function).split(".", 1)[1]
        self.devices |= {part.device.type for part in tree_leaves((args, kwargs)) if isinstance(part, torch.Tensor)}
        assert not name.startswith(_WAITING), f"{function} makes the program wait for the GPU"
        if name.startswith("convolution."):  # fake tensors do not know cuDNN, which keeps channels last
            out = torch.empty_like(out, memory_format=torch.channels_last)
        if not name.startswith(_FREE):
            self.counts[name.rsplit(".", 1)[0]] += 1
        return out


@contextmanager
def fake_gpu(dtype=torch.bfloat16):
    """Code inside sees a GPU with autocast to a type (`None` for none) and may make tensors on it."""
    original = position._of_grid

    @cache
    def of_grid(*key):
        made = original(*key[:-1], torch.device("cpu"))
        return tuple(None if part is None else torch.empty_like(part, device=key[-1]) for part in made)

    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with FakeTensorMode(allow_non_fake_inputs=True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(position, "_of_grid", of_grid)
        torch.set_autocast_enabled("cuda", dtype is not None)
        torch.set_autocast_dtype("cuda", dtype or torch.bfloat16)
        try:
            yield
        finally:
            torch.set_autocast_enabled("cuda", before[0])
            torch.set_autocast_dtype("cuda", before[1])


def on_gpu(module):
    """A copy of a module, made outside `fake_gpu`, on the fake GPU."""
    with _disable_current_modes():
        module = copy.deepcopy(module)
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            if parameter is not None:
                moved = torch.empty_like(parameter, device="cuda")
                part._parameters[name] = torch.nn.Parameter(moved, requires_grad=parameter.requires_grad)
        for name, buffer in list(part._buffers.items()):
            if buffer is not None:
                part._buffers[name] = torch.empty_like(buffer, device="cuda")
    return module


def issued(run):
    """The counts of a call, the second one: the first makes what is kept."""
    run()
    with Issued() as mode:
        run()
    return mode.counts


def backward(loss):
    """The backward pass of a fake loss, node by node: torch's engine asks the driver for a device, which is not here.

    Gradients of parameters are computed and dropped.
    """
    gradients = {loss.grad_fn: {0: torch.ones_like(loss)}}
    for node in _in_order(loss.grad_fn):
        mine = gradients.pop(node, {})
        if not mine or type(node).__name__ == "AccumulateGrad":
            continue
        found = _call(node, [mine.get(i) for i in range(max(mine) + 1)])
        for (behind, place), gradient in zip(node.next_functions, found, strict=False):
            if behind is not None and gradient is not None:
                slots = gradients.setdefault(behind, {})
                slots[place] = slots[place] + gradient if place in slots else gradient


def _call(node, gradients):
    """The gradients that a node hands on; an operator with several results gets `None` for those without one."""
    results = 2 if type(node).__name__.startswith("GeneratedBackwardFor") else 1  # of an operator of this package
    gradients += [None] * (results - len(gradients))
    found = getattr(node, "apply", node)(*gradients)
    return found if isinstance(found, tuple) else (found,)


def _in_order(root):
    """The nodes behind a result, each after all that lead to it."""
    seen, found, stack = {root}, [], [(root, iter(root.next_functions))]
    while stack:
        node, rest = stack[-1]
        behind = next(rest, None)
        if behind is None:
            found.append(node)
            stack.pop()
        elif behind[0] is not None and behind[0] not in seen:
            seen.add(behind[0])
            stack.append((behind[0], iter(behind[0].next_functions)))
    return reversed(found)
