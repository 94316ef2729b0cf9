"""What the suite's own options do."""

from types import SimpleNamespace

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
