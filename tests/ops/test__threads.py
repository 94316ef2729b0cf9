import threading
import time

import pytest
import torch

from vig_pyg.ops import _threads, map_on_threads


@pytest.fixture(params=["kernels", "no kernels", "kernels without threads"])
def kernels(request, monkeypatch):
    if request.param == "no kernels":
        monkeypatch.setattr(_threads, "library", lambda: None)
    if request.param == "kernels without threads":
        monkeypatch.setattr(_threads, "library", lambda: type("Kernels", (), {"vig_each": lambda *_: 1}))


@pytest.mark.parametrize(("count", "threads"), [(0, 2), (1, 4), (5, 1), (7, 2), (2, 8), (40, 3)])
def test_each_call_is_made_once_and_results_keep_their_order(kernels, count, threads):
    seen = []
    assert map_on_threads(lambda i: seen.append(i) or 10 * i, count, threads) == [10 * i for i in range(count)]
    assert sorted(seen) == list(range(count))


def test_calls_run_at_the_same_time(kernels):
    """Each waits for the other, so one after the other would never end."""
    barrier = threading.Barrier(2, timeout=60)
    assert sorted(map_on_threads(lambda _: barrier.wait(), 2, 2)) == [0, 1]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_first_error_is_raised_after_all_calls(kernels, kind):
    seen = []

    def fail(index):
        seen.append(index)
        if index in (2, 4):
            raise kind(f"call {index}")

    with pytest.raises(kind, match="call 2"):
        map_on_threads(fail, 6, 2)
    assert sorted(seen) == list(range(6))


@pytest.mark.parametrize("lost", [{0}, {2}, {0, 1, 2, 3}])
def test_an_interrupt_before_the_first_line_of_a_call_is_not_lost(monkeypatch, lost):
    """Python handles signals at the start of a function too; ctypes only prints what is raised there."""

    class Kernels:
        @staticmethod
        def vig_each(call, count, _):
            for i in set(range(count)) - lost:
                call(i)
            return 0

    monkeypatch.setattr(_threads, "library", Kernels)
    with pytest.raises(KeyboardInterrupt):
        map_on_threads(lambda i: i, 4, 2)


def test_torch_uses_one_thread_inside(kernels):
    """Products inside are those of a single thread, bit for bit; afterwards torch has its threads again."""
    before, x = torch.get_num_threads(), torch.randn(300, 300)
    for found in map_on_threads(lambda _: x @ x, 4, 2):
        torch.testing.assert_close(found, x @ x)
    assert torch.get_num_threads() == before


def test_no_thread_is_left_behind(kernels):
    before = threading.active_count()
    map_on_threads(lambda _: time.sleep(0.01), 8, 4)
    assert threading.active_count() <= before + 4  # threads of OpenMP stay, but no call does
