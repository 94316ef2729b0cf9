import logging

import pytest
import torch

from vig_pyg.kernels import has_native_topk, topk, topk_columns


def reference(scores, k, step):
    """By a stable sort: best first, the smaller column first where scores tie."""
    return scores.sort(dim=-1, descending=True, stable=True).indices[..., :k:step]


@pytest.mark.parametrize("m", [1, 2, 15, 16, 17, 49, 196, 511, 3136])
@pytest.mark.parametrize("kind", ["normal", "ties", "constant", "ascending", "descending", "infinite"])
def test_equals_a_stable_sort(m, kind):
    generator = torch.Generator().manual_seed(m)
    scores = torch.randn(2, 7, m, generator=generator)
    if kind == "ties":
        scores = scores.round()
    elif kind == "constant":
        scores = torch.zeros_like(scores)
    elif kind == "infinite":
        scores[..., ::2] = -torch.inf
    elif kind != "normal":
        scores = scores.sort(dim=-1, descending=kind == "descending").values
    for k in {1, min(2, m), min(9, m), min(17, m), min(54, m), min(100, m), min(600, m), m}:
        for step in (1, 2, 5):
            got = topk_columns(scores, k, step)
            if kind == "infinite":  # among equals any order would do, but ours is the stable one
                assert torch.equal(scores.gather(-1, got), scores.gather(-1, reference(scores, k, step)))
            else:
                assert torch.equal(got, reference(scores, k, step)), (m, k, step)


def test_the_kernel_was_built_here():
    assert has_native_topk()


def test_rows_that_are_not_contiguous():
    scores = torch.randn(40, 6).t()
    assert torch.equal(topk_columns(scores, 3), reference(scores, 3, 1))


def test_double_precision_takes_the_plain_path():
    scores = torch.randn(3, 50, dtype=torch.float64)
    assert torch.equal(topk_columns(scores, 9, 2), reference(scores, 9, 2))


def test_without_the_library_the_result_is_the_same(monkeypatch):
    scores = torch.randn(3, 50)
    native = topk_columns(scores, 9, 2)
    monkeypatch.setattr(topk, "_library", lambda: None)
    assert torch.equal(topk_columns(scores, 9, 2), native)


def test_a_missing_library_is_logged_with_the_reason(monkeypatch, caplog):
    monkeypatch.setattr(topk, "EXTENSION_SUFFIXES", [".nowhere"])
    with caplog.at_level(logging.INFO):
        assert topk._library.__wrapped__() is None
    assert "without its native kernels" in caplog.text


@pytest.mark.parametrize(("k", "step"), [(0, 1), (6, 1), (2, 0)])
def test_wrong_numbers_are_refused(k, step):
    with pytest.raises(ValueError, match="Need 1 <= k <= 5"):
        topk_columns(torch.randn(2, 5), k, step)


def test_is_a_registered_operator():
    torch.library.opcheck(torch.ops.vig_pyg.topk_columns.default, (torch.randn(3, 20), 4, 2))
