import subprocess
import sys

import pytest

from tests.cli.common import fails
from vig_pyg import cli


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_is_printed(argv):
    code = f"import sys\nsys.argv = ['vig-pyg', *{argv!r}]\n"
    code += "try:\n    from vig_pyg.cli import main; main()\nexcept SystemExit as e: assert e.code == 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    ],
)
def test_too_little_memory_is_told(monkeypatch, capsys, error):
    def fail(_):
        raise error

    monkeypatch.setattr(cli.models, "run", fail)
    assert "not enough memory: try a smaller --batch-size or --image-size" in fails(capsys, "models")
    with pytest.raises(type(error)):
        cli.main(["--debug", "models"])


def test_a_full_disk_behind_what_is_printed_is_told(monkeypatch, capsys):
    monkeypatch.setattr(cli.models, "run", lambda _: print("a table"))
    with open("/dev/full", "w") as full, monkeypatch.context() as context:
        context.setattr(sys, "stdout", full)
        assert "The output cannot be printed (No space left on device)" in fails(capsys, "models")


def test_nothing_is_printed_where_a_shell_has_closed_the_output(monkeypatch):
    monkeypatch.setattr(cli.models, "run", lambda _: print("a table"))
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["models"]) == 0


def test_our_own_faults_are_not_hidden(monkeypatch):
    def fail(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli.models, "run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["models"])


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.models, "run", stop)
    assert cli.main(["models"]) == 130
    assert capsys.readouterr().err.startswith("vig-pyg: stopped")
