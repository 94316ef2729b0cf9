"""What the suite's own options do."""

import gc
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tests import conftest
from tests.conftest import Failures


def report(name, text, *, failed=True, **more):
    return SimpleNamespace(nodeid=name, longreprtext=text, failed=failed, **more)


def test_failures_are_written_at_once(tmp_path):
    path = tmp_path / "failures.txt"
    path.write_text("of another run")
    failures = Failures(path)
    assert path.read_text() == ""
    failures.pytest_runtest_logreport(report("a.py::test_a", "", failed=False, when="call"))
    failures.pytest_runtest_logreport(report("a.py::test_b", "def f\n>  x\nE   ValueError: no\nE  more", when="call"))
    assert path.read_text() == "a.py::test_b (call): E   ValueError: no\n"
    failures.pytest_collectreport(report("b.py", "no line of an error"))
    failures.pytest_runtest_logreport(report("c.py::test_c", "E " + "x" * 999, when="setup"))
    second, third = path.read_text().splitlines()[1:]
    assert second == "b.py (collection): "
    assert third.startswith("c.py::test_c (setup): E xxx") and len(third) < 300


@pytest.mark.parametrize(
    ("nodeid", "threads"),
    [("tests/ops/test__knn.py::test_a", 2), ("tests/engine/test_run.py::test_a", 1), ("vig_pyg/ops/mlp.py::mlp", 1)],
)
def test_beside_other_processes_two_threads_are_for_functions_that_share_their_work(monkeypatch, nodeid, threads):
    chosen, config = [], SimpleNamespace(getoption=lambda _: "cpu")
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    for shared in (False, True):
        monkeypatch.setattr(conftest, "SHARED_CORES", shared)
        conftest.pytest_runtest_setup(SimpleNamespace(nodeid=nodeid, config=config))
    assert chosen == [threads]


def test_all_that_runs_on_two_threads_is_there():
    assert all((Path(__file__).parents[1] / name).exists() for name in conftest.ON_THREADS)


def test_the_collector_looks_through_no_collected_tests(request):
    assert gc.get_freeze_count() > len(request.session.items) > 0
