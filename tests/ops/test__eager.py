"""Direct calls of the implementations for GPUs, in Triton's interpreter where there is no GPU."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from tests.fake_gpu import Issued
from tests.ops.gpu_norm import DEVICE
from vig_pyg.ops import _eager, _knn, _knn_max_relative, knn, knn_max_relative
from vig_pyg.ops._eager import is_eager_on_cpu, is_eager_on_gpu
from vig_pyg.ops._gpu_batch_norm import GPUNorm


@pytest.fixture
def direct(monkeypatch):
    monkeypatch.setattr(_eager, "_DEVICE", DEVICE)


class Subclass(torch.Tensor):
    pass


def test_only_ordinary_eager_calls_are_direct(direct):
    x, answers = torch.zeros(2, device=DEVICE), {}

    def ask(name, *tensors):
        answers[name] = is_eager_on_gpu(*tensors)
        return tensors[0] + 0

    ask("plain", x, nn.Parameter(x))
    with torch.inference_mode():
        ask("inference", x)
    assert set(answers.values()) == {True}
    answers.clear()
    ask("subclass", x, x.as_subclass(Subclass))
    ask("another device", x, x.to("meta"))
    for mode in (Issued(), FlopCounterMode(display=False), FakeTensorMode(allow_non_fake_inputs=True)):
        with mode:
            ask(type(mode).__name__, x)
    torch.func.vmap(lambda part: ask("vmap", part))(x)
    torch.func.grad(lambda part: ask("grad", part).sum())(x)
    torch.jit.trace(lambda part: ask("trace", part), (x,), check_trace=False)
    assert len(answers) == 8 and set(answers.values()) == {False}


def test_a_compiler_gets_the_operator(direct):
    seen = []

    def keep(graph, _):
        seen.append(str(graph.graph))
        return graph.forward

    torch._dynamo.reset()
    x = torch.rand(1, 4, 8, device=DEVICE)
    torch.compile(lambda x: knn(x, x, 2), backend=keep, fullgraph=True)(x)
    assert "vig_pyg" in seen[0]
    torch._dynamo.reset()


@pytest.mark.parametrize("seed", range(6))
def test_searches_equal_those_of_the_operator(direct, seed, monkeypatch):
    rng = torch.Generator().manual_seed(seed)
    b, n, m, c = (
        int(torch.randint(low, high, (), generator=rng, device="cpu"))
        for low, high in ((1, 3), (1, 9), (3, 20), (1, 20))
    )
    x, y = (torch.randn(b, count, c, generator=rng, device="cpu").to(DEVICE) for count in (n, m))
    k, step = min(3, m), 1 + seed % 2
    bias = torch.rand(1, n, m, generator=rng, device="cpu").to(DEVICE) if seed % 3 else None
    options = {"step": step, "bias": bias, "normalize": seed % 2 == 0}
    found = knn(x, y, k, **options), knn_max_relative(x, y, k, **options)
    calls = []
    for module in (_knn, _knn_max_relative):
        original = module._on_gpu
        monkeypatch.setattr(
            module, "_on_gpu", lambda *args, run=original, name=module: calls.append(name) or run(*args)
        )
    knn(x, y, k, **options)
    knn_max_relative(x, y, k, **options)
    assert calls == [_knn, _knn_max_relative]
    monkeypatch.setattr(_eager, "_DEVICE", "nowhere")
    assert torch.equal(found[0], knn(x, y, k, **options))
    assert torch.equal(found[1], knn_max_relative(x, y, k, **options))


def test_gradients_go_through_the_operator(direct):
    x = torch.randn(1, 5, 8, device=DEVICE, requires_grad=True)
    assert knn_max_relative(x, x, 2).grad_fn is not None
    with torch.no_grad():
        assert knn_max_relative(x, x, 2).grad_fn is None


@pytest.mark.parametrize(("k", "error"), [(2.0, (TypeError, RuntimeError)), (0, ValueError), (6, ValueError)])
def test_wrong_numbers_are_refused_as_before(direct, k, error):
    x = torch.randn(1, 5, 8, device=DEVICE)
    for search in (knn, knn_max_relative):
        with pytest.raises(error):
            search(x, x, k)
        with pytest.raises(ValueError, match="bias must have"):
            search(x, x, 2, bias=torch.zeros(1, 1, 4, device=DEVICE))
        with pytest.raises((TypeError, ValueError)):
            search(x.long(), x.long(), 2)


def test_what_changes_in_place_gets_a_new_version(direct):
    h = torch.randn(4, 8, device=DEVICE)
    norm = nn.BatchNorm1d(8, device=DEVICE)
    moved = norm.running_mean, norm.running_var, norm.num_batches_tracked
    before = [part._version for part in moved]
    step = GPUNorm(h, norm, None, gelu=False)  # the operator itself has no implementation for CPUs
    assert all(part._version > old for part, old in zip(moved, before, strict=True))
    want = torch.nn.functional.batch_norm(h, None, None, training=True)
    torch.testing.assert_close(step.apply(h), want, rtol=1e-5, atol=1e-5)
    assert step.backward(torch.ones_like(h), h)[0].abs().max() < 1e-5


def test_calls_on_a_cpu_are_direct_unless_somebody_looks_at_them():
    x, answers = torch.zeros(2, device="cpu"), []
    assert is_eager_on_cpu(x, nn.Parameter(x)) and not is_eager_on_cpu(x, x.as_subclass(Subclass))
    assert not is_eager_on_cpu(torch.zeros(2, device="meta"))
    with FlopCounterMode(display=False):
        assert not is_eager_on_cpu(x)
    with FakeTensorMode() as mode:
        assert not is_eager_on_cpu(mode.from_tensor(x))
    torch.func.vmap(lambda part: answers.append(is_eager_on_cpu(part)) or part)(torch.zeros(2, 2, device="cpu"))
    assert answers == [False]
