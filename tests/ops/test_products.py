"""Products of oneDNN equal torch's, are taken where they may be, and nowhere else."""

import itertools

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from vig_pyg.ops import _products
from vig_pyg.ops._products import map_rows, sum_of_products, takes_one_dnn

needs_one_dnn = pytest.mark.skipif(not _products.has_one_dnn(), reason="this torch has no oneDNN")
#: Rows below, at and above the rows that are summed at a time, and widths that fill no vector.
SIZES = [(1, 1, 1), (7, 33, 5), (2047, 17, 96), (2048, 48, 48), (2049, 96, 17), (6000, 5, 200), (4100, 320, 80)]


@pytest.mark.parametrize(("rows", "wide", "narrow"), SIZES)
def test_products_are_those_of_float64(rows, wide, narrow, monkeypatch):
    for least, transposed in itertools.product((0, 2**60), (False, True)):
        monkeypatch.setattr(_products, "_SMALL", least)
        x, y = torch.randn(rows, wide), torch.randn(rows, narrow)
        weight = torch.randn(wide, narrow).t() if transposed else torch.randn(narrow, wide)
        bias = torch.randn(narrow)
        want = x.double() @ weight.double().t()
        tight = {"rtol": 1e-4, "atol": 1e-4, "check_dtype": False}
        torch.testing.assert_close(map_rows(x, weight), want, **tight)
        torch.testing.assert_close(map_rows(x, weight, bias), want + bias, **tight)
        for a, b in ((x, y), (y, x)):
            found = sum_of_products(a, b)
            assert found.is_contiguous()
            torch.testing.assert_close(found, a.double().t() @ b.double(), rtol=1e-4, atol=1e-3, check_dtype=False)


@needs_one_dnn
def test_one_dnn_is_taken_only_where_it_is_fast_and_nobody_looks(monkeypatch):
    x, weight = torch.randn(300, 64), torch.randn(32, 64)
    assert takes_one_dnn(x, weight) and takes_one_dnn(x, torch.randn(64, 32).t())
    assert not takes_one_dnn(x.double(), weight.double()) and not takes_one_dnn(x.bfloat16(), weight.bfloat16())
    assert not takes_one_dnn(torch.randn(300, 128)[:, :64], weight)  # rows with gaps
    assert not takes_one_dnn(x, torch.randn(32, 128)[:, ::2]) and not takes_one_dnn(x[:0], weight)
    assert not takes_one_dnn(x.to("meta"), weight.to("meta"))
    monkeypatch.setattr(torch._C, "_get_mkldnn_enabled", lambda: False)
    assert not takes_one_dnn(x, weight)
    monkeypatch.undo()
    with FlopCounterMode(display=False) as counter:
        assert not takes_one_dnn(x, weight)
        map_rows(x, weight)
    assert counter.get_total_flops() == 2 * 300 * 64 * 32


@needs_one_dnn
def test_who_needs_gradients_gets_them():
    x, weight = torch.randn(300, 64, requires_grad=True), torch.randn(32, 64, requires_grad=True)
    assert not takes_one_dnn(x, weight)
    map_rows(x, weight).sum().backward()
    assert x.grad is not None and weight.grad is not None
    with torch.no_grad():
        assert takes_one_dnn(x, weight)


@needs_one_dnn
def test_a_bias_learns_though_the_weight_is_frozen():
    x, weight, bias = torch.randn(300, 64), torch.randn(32, 64), torch.zeros(32, requires_grad=True)
    map_rows(x, weight, bias).sum().backward()
    assert bias.grad is not None and bias.grad.tolist() == [300.0] * 32


@pytest.mark.parametrize("function", [map_rows, sum_of_products])
def test_sizes_that_do_not_fit_are_errors(function):
    for rows in (3, 3000):
        with pytest.raises(RuntimeError, match=r"mat1 and mat2|size"):
            function(torch.zeros(rows, 65), torch.zeros(rows + 1, 64))
