"""Measurements and comparisons for the assertions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from vig_pyg.models import ModelConfig, VisionGNN

#: Largest relative difference that is considered rounding.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}


class _Steps(TorchDispatchMode):
    """Counts tensor operations by name, and by their text arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count[" ".join([str(func), *(arg for arg in args if isinstance(arg, str))])] += 1
        return func(*args, **(kwargs or {}))


def traits_of(make: Callable[[Any], VisionGNN[Any]], config: ModelConfig, side: int) -> dict[str, Any]:
    """Return the observable properties of a model, created with a fixed seed."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = make(config).eval()
        state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        torch.manual_seed(1)
        images = torch.rand(4, config.in_channels, side, side)
        with _Steps() as steps:
            outputs = model(images)
        graphs = [graph.edge_index for graph in model.graphs(images)]
        torch.manual_seed(2)
        training = model.train()(images)
    return {"parameters": state, "outputs": outputs, "graphs": graphs, "training": training, "steps": steps.count}


def is_same(one: Any, two: Any) -> bool:
    """True if two properties are equal, for tensors up to rounding."""
    if isinstance(one, Tensor):
        return one.shape == two.shape and torch.allclose(one, two, rtol=0, atol=1e-5)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(is_same, one, two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(is_same(one[key], two[key]) for key in one)
    return bool(one == two)


@contextmanager
def evaluation_mode(module: object) -> Iterator[None]:
    """A context in which a module is in evaluation mode; other callables are not changed."""
    modes = [(part, part.training) for part in module.modules()] if isinstance(module, nn.Module) else []
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def permutation(n: int, seed: int, like: Tensor) -> Tensor:
    """Return a fixed permutation of n indices on the device of another tensor."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed), device="cpu").to(like.device)


def name_of(part: object) -> str:
    """Return the name of a module's class or of a function, for messages."""
    return type(part).__name__ if isinstance(part, nn.Module) else getattr(part, "__name__", repr(part))


def check_close(got: Tensor, want: Tensor, fault: str, tolerance: float | None) -> float:
    """Return the largest difference relative to the largest value; fail if it exceeds the tolerance."""
    __tracebackhide__ = True
    assert got.shape == want.shape, f"{fault}: shapes {tuple(got.shape)} and {tuple(want.shape)}."
    bound = TOLERANCE[want.dtype] if tolerance is None else tolerance
    error = float((got - want).abs().max() / want.abs().max().clamp_min(1))
    assert error <= bound, f"{fault}: the difference is {error:.1e}, above {bound:.0e}."  # NaN fails too
    return error
