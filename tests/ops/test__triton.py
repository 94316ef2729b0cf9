import importlib
import logging
import sys

import pytest
import torch

import vig_pyg.ops
from vig_pyg.ops import _knn, _knn_plain, _triton

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
    assert not _triton.has_triton_kernels()
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
    assert kernels is _triton.triton_kernels() and _triton.has_triton_kernels()
    assert kernels.search is importlib.import_module("vig_pyg.ops._triton_knn")
    assert kernels.gather is importlib.import_module("vig_pyg.ops._triton_max_relative")
    assert kernels.scatter is importlib.import_module("vig_pyg.ops._triton_scatter_winners")
    assert callable(kernels.search.neighbors) and kernels.search.MOST_NEIGHBORS >= 18
