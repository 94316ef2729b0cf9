"""Printed commands start as the user's own."""

import pytest

from vig_pyg._io.launcher import UV, launcher
from vig_pyg.cli import main, make_parser
from vig_pyg.cli._options import in_shell


@pytest.mark.parametrize(
    ("environment", "arguments", "want"),
    [
        ({}, ["python", "/venv/bin/vig-pyg", "train"], "vig-pyg"),
        ({UV: "1"}, ["python", "/venv/bin/vig-pyg", "train"], "uv run vig-pyg"),
        ({UV: "2"}, ["python", "-m", "vig_pyg", "train"], "uv run vig-pyg"),
        ({}, ["/usr/bin/python3", "-X", "dev", "-m", "vig_pyg", "train"], "python3 -m vig_pyg"),
        ({}, ["/opt/my env/python 3", "-mvig_pyg", "train"], "'python 3' -m vig_pyg"),
        ({}, ["python", "-Im", "vig_pyg", "train"], "python -m vig_pyg"),
        ({}, ["python", "-IBmvig_pyg", "train"], "python -m vig_pyg"),
        ({}, ["python", "-W", "error", "-uXdev", "-m", "vig_pyg", "-m", "x"], "python -m vig_pyg"),
        ({}, ["python", "--check-hash-based-pycs", "never", "-m", "vig_pyg", "x"], "python -m vig_pyg"),
        ({}, ["python", "-m", "vig_pyg.cli"], "vig-pyg"),
        ({}, ["python", "-Wm", "vig_pyg"], "vig-pyg"),
        ({}, ["python", "-c", "-m", "vig_pyg"], "vig-pyg"),
        ({}, ["python", "-Ic", "print()", "-m", "vig_pyg"], "vig-pyg"),
        ({}, ["python", "program.py", "-m", "vig_pyg"], "vig-pyg"),
        ({}, ["python", "-m", "vig_pyg_other"], "vig-pyg"),
        ({}, ["python"], "vig-pyg"),
        ({}, ["python", "-m", "pytest", "vig_pyg"], "vig-pyg"),
        ({}, ["python", "program.py", "vig_pyg"], "vig-pyg"),
    ],
)
def test_the_start_is_the_user_s(environment, arguments, want):
    assert launcher(environment, arguments) == want


def test_hints_errors_and_examples_can_be_copied(monkeypatch, capsys):
    monkeypatch.setenv(UV, "1")
    assert in_shell("vig-pyg", "predict", "runs/a b", "IMAGES") == "uv run vig-pyg predict 'runs/a b' IMAGES"
    assert in_shell("python", "vig-pyg") == "python vig-pyg"
    assert main(["train", "--epocs", "3"]) == 2
    assert "see uv run vig-pyg train --help." in capsys.readouterr().err
    assert "  uv run vig-pyg train --data photos " in make_parser().format_help()
