import importlib
import json
import logging
import os
import subprocess
import sys
from functools import cache

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import vig_pyg.ops
from tests.fake_gpu import fake_gpu
from vig_pyg.ops import (
    _gpu_batch_norm,
    _knn,
    _knn_max_relative,
    _knn_plain,
    _max_relative,
    _triton,
    bias_gelu,
)

NAMES = (
    "_triton_batch_norm",
    "_triton_bias_gelu",
    "_triton_knn",
    "_triton_max_relative",
    "_triton_scatter_winners",
    "_triton_tiles",
)


@pytest.fixture
def without_triton(monkeypatch):
    """As where it is not installed: Python itself refuses the import, in files that are imported anew."""
    for name in [name for name in sys.modules if name.split(".")[0] == "triton"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "triton", None)
    for name in NAMES:
        monkeypatch.delitem(sys.modules, f"vig_pyg.ops.{name}", raising=False)
        monkeypatch.delattr(vig_pyg.ops, name, raising=False)
    _triton._load.cache_clear()
    yield
    _triton._load.cache_clear()


def test_a_missing_triton_is_told_once(without_triton, caplog):
    with caplog.at_level(logging.WARNING):
        assert _triton.triton_kernels() is None
        assert _triton.triton_kernels() is None
    assert not _triton.has_triton_kernels(torch.device("cuda"))
    (record,) = caplog.records
    assert record.name == "vig_pyg.ops._triton" and record.levelno == logging.WARNING
    assert "need Triton (import of triton halted" in record.getMessage()


def test_plain_torch_takes_its_place(without_triton):
    x, y = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    want = _knn_plain.knn_plain(x, y, 3, 2, None, True)
    assert torch.equal(_knn._on_gpu(x, y, 3, 2, None, True), want)
    assert want.shape == (2, 2 * 5 * 2)


def test_a_fault_in_a_kernel_is_not_taken_for_a_missing_triton(without_triton, monkeypatch):
    class Broken:
        def find_spec(self, name, *_):
            if name.startswith("vig_pyg.ops._triton_"):
                raise SyntaxError("a bug")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(SyntaxError, match="a bug"):
        _triton.triton_kernels()


def test_the_kernels_are_those_of_their_files():
    kernels = _triton.triton_kernels()
    assert kernels is _triton.triton_kernels() and _triton.has_triton_kernels(torch.device("cuda", 0))
    assert kernels.search is importlib.import_module("vig_pyg.ops._triton_knn")
    assert kernels.gather is importlib.import_module("vig_pyg.ops._triton_max_relative")
    assert kernels.scatter is importlib.import_module("vig_pyg.ops._triton_scatter_winners")
    assert callable(kernels.search.neighbors) and kernels.search.MOST_NEIGHBORS >= 18


CUDA = torch.device("cuda", 0)
#: Functions that remember the answer for each GPU.
PLACES = (
    (_triton, "_runs_on"),
    (_triton, "runs_search_on"),
    (_knn, "runs_search_on"),
    (_triton, "_compiler_fault"),
)


@pytest.fixture
def gpu(monkeypatch):
    """Returns a function that plays GPUs by their compute capabilities, of which Triton's driver says what is given."""

    def play(*capabilities, error=None):
        class Driver:
            @property
            def active(self):
                if error is not None:
                    raise error
                return self

            def get_current_target(self):
                return "cuda:80"

        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capabilities[device])
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU number {device}")
        monkeypatch.setattr("triton.runtime.driver", Driver())
        for module, name in PLACES:  # without what is known of the real GPUs
            if hasattr(function := getattr(module, name), "__wrapped__"):
                monkeypatch.setattr(module, name, cache(function.__wrapped__))

    return play


def test_gpus_that_the_kernels_do_not_support_are_named_once(gpu, caplog):
    gpu((7, 0), (8, 0), (12, 0))
    with caplog.at_level(logging.WARNING):
        found = [_triton.triton_kernels(device) is not None for device in (0, 1, 2, 0, -1)]
    assert found == [False, True, True, False, True]
    assert [_triton.has_triton_kernels(torch.device("cuda", i)) for i in range(3)] == found[:3]
    (record,) = caplog.records
    assert record.getMessage() == (
        "The GPU kernels are not used on GPU 0, because GPU number 0 has compute capability 7.0, and the kernels need "
        "7.5: plain torch is used instead."
    )


def test_gpus_without_fast_products_search_with_plain_torch_and_aggregate_with_the_kernels(gpu, monkeypatch, caplog):
    gpu((8, 6), (7, 5))
    x, y, here = torch.randn(2, 5, 16), torch.randn(2, 7, 16), [1]
    monkeypatch.setattr(torch.Tensor, "get_device", lambda _: here[0])
    args = x, y, 3, 1, None, True, "highest"
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert _knn._kernels_for(x, y, 3) is None
    (record,) = caplog.records
    assert record.getMessage() == (
        "Plain torch searches neighbors on GPU 1, because GPU number 1 has compute capability 7.5, and the kernels "
        "need 8.0."
    )
    aggregate = _knn_max_relative.triton_kernels(1).gather
    calls = []
    monkeypatch.setattr(aggregate, "launch", lambda kernel, *_, **__: calls.append(kernel))
    monkeypatch.setattr(_knn_max_relative, "neighbors", lambda *_, **__: torch.zeros(2, 5, 3, dtype=torch.int16))
    out, _ = _knn_max_relative._on_gpu(*args, True)
    assert calls == [aggregate._gather] and out.shape == (10, 32)
    here[0] = 0
    assert _knn._kernels_for(x, y, 3) is not None


@pytest.mark.parametrize(("version", "able"), [("3.7.1", False), ("3.8.0", True), ("3.10.0+git1", True), ("4.0", True)])
def test_an_older_triton_does_not_search_on_a_b200(gpu, monkeypatch, caplog, version, able):
    monkeypatch.setattr("triton.__version__", version)
    gpu((10, 0), (9, 0), (10, 3), (12, 0))
    with caplog.at_level(logging.WARNING):
        found = [_triton.runs_search_on(device) for device in (0, 1, 2, 3, -1)]
    assert found == ([True] * 5 if able else [False, True, False, True, True])
    assert [record.getMessage() for record in caplog.records][:1] == (
        []
        if able
        else [
            "Plain torch searches neighbors on GPU 0, because Triton 3.7.1 cannot compile the kernel for GPU number 0; "
            "3.8 can, which newer versions of torch install."
        ]
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Failed to find C compiler."),
        subprocess.CalledProcessError(1, ["gcc"]),
        PermissionError("/root/.triton"),
        AssertionError("libcuda.so cannot found!\nPossible files are ...\n" + 100 * "Please "),
    ],
)
def test_a_triton_that_cannot_compile_ends_no_program(gpu, caplog, error):
    gpu((9, 0), error=error)
    with caplog.at_level(logging.WARNING):
        assert _triton.triton_kernels(0) is None and _triton.triton_kernels(0) is None
    (record,) = caplog.records
    text = record.getMessage()
    first = str(error).splitlines()[0]
    assert f"because Triton cannot compile them ({first}" in text and text.endswith("): plain torch is used instead.")
    assert "\n" not in text and len(text) < 350


def test_amd_s_gpus_are_named(gpu, monkeypatch):
    gpu((9, 4))
    monkeypatch.setattr(torch.version, "hip", "6.4")
    assert not _triton.has_triton_kernels(CUDA) and "NVIDIA" in _triton.why_unsupported(0)


def test_every_operator_asks_for_the_gpu_of_its_features(monkeypatch):
    """As with a T4 beside an A100: each operator gets the kernels for its own GPU, or plain torch."""
    asked = []
    monkeypatch.setattr(_triton, "_runs_on", lambda device: asked.append(device))
    with FakeTensorMode():
        nodes, norm = torch.empty(4, 32, device=CUDA), torch.nn.BatchNorm1d(32, device=CUDA)
        assert not _max_relative.has_max_relative(nodes, nodes) and not _knn_max_relative.prefers_no_edges(nodes, nodes)
        assert not _gpu_batch_norm.has_gpu_norm(nodes, norm)
    assert asked == [0, 0, 0]
    asked.clear()
    monkeypatch.setattr(torch.Tensor, "get_device", lambda _: 1)
    x, y, h = torch.randn(2, 5, 16), torch.randn(2, 7, 16), torch.randn(5, 16)
    args = x, y, 3, 1, None, True, "highest"
    assert torch.equal(_knn._on_gpu(*args), _knn_plain.knn_plain(*args[:6]))
    out, winners = _knn_max_relative._on_gpu(*args, True)
    assert torch.equal(out, _knn_max_relative._plain(*args, True)[0])
    assert torch.equal(_knn_max_relative._backward_on_gpu(out, winners, 14, 2)[1], out[:, ::2] - out[:, 1::2])
    want = torch.nn.functional.gelu(h + 1)
    bias_gelu._on_gpu(h, torch.ones(16), True)
    torch.testing.assert_close(h, want)
    assert set(asked) == {1} and len(asked) == 4


def test_a_compiled_program_contains_what_runs_on_its_gpu(monkeypatch):
    seen = []

    def keep(graph, _):
        seen.append(str(graph.graph))
        return graph.forward

    def run(x):
        return x + 1 if _triton.has_triton_kernels(x.device) else x - 1

    for supported in (False, True):
        monkeypatch.setattr(_triton, "_runs_on", lambda _, supported=supported: supported)
        torch._dynamo.reset()
        with fake_gpu():
            torch.compile(run, backend=keep, fullgraph=True)(torch.empty(2, device="cuda"))
    torch._dynamo.reset()
    assert "sub" in seen[0] and "add" in seen[1]


#: KiB of shared memory that a program may use on a GPU of a compute capability (CUDA C++ Programming Guide).
SHARED = {75: 64, 80: 163, 89: 99, 90: 227, 100: 227, 120: 99}


@pytest.mark.slow
@pytest.mark.parametrize("capability", SHARED)
@pytest.mark.parametrize("kernels", ["search", "others"])
def test_the_kernels_compile_for_gpus_that_are_not_here(capability, kernels):
    if (capability // 10, capability % 10) < (_triton.LEAST_FOR_SEARCH if kernels == "search" else (0, 0)):
        return  # plain torch
    import triton

    older = tuple(int(part) for part in triton.__version__.split(".")[:2]) < _triton.SEARCH_TRITON
    if kernels == "search" and capability // 10 in _triton.NEEDS_NEWER_TRITON and older:
        return  # plain torch
    command = [sys.executable, "-m", "tests.ops.ahead_of_time", str(capability), kernels]
    env = {**os.environ, "TRITON_INTERPRET": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line) for line in done.stdout.splitlines()]
    expected = {
        "search": {"search_row", "search_tiles", "_lengths"},
        "others": {"_gather", "_scatter", "_sum_in_order", "_bias_gelu"},
    }
    assert {name for name, _ in found} >= expected[kernels]
    assert max(shared for _, shared in found) <= 1024 * SHARED[capability]
