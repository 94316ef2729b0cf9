"""Printed commands start as the user's own."""

import ast
import re
from pathlib import Path

import pytest

import vig_pyg
from vig_pyg._io.launcher import UV, launcher
from vig_pyg.cli import COMMANDS, main, make_parser
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


#: Functions that write a command as the user starts it; arguments and tables with the plain form for them.
WRITERS = {"as_started", "in_shell", "described", "example_lines"}
PLAIN, TABLES = {"prog", "command"}, {"EXAMPLES", "USE", "KIND"}
_NAMES = "|".join(command.__name__.rpartition(".")[2] for command in COMMANDS)
COMMAND = re.compile(rf"vig-pyg (?:{_NAMES})\b")


def bare_commands(source):
    """Lines of texts with a command that is not written as the user starts it; docstrings and examples may have it."""
    tree = ast.parse(source)
    allowed = set()
    for node in ast.walk(tree):
        written = isinstance(node, ast.Call) and getattr(node.func, "id", "") in WRITERS
        plain = isinstance(node, ast.keyword) and node.arg in PLAIN
        names = {getattr(target, "id", "") for target in getattr(node, "targets", [])}
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if written or plain or docstring or names & TABLES:
            allowed |= set(ast.walk(node))
    for node in ast.walk(tree):
        if node in allowed:
            continue
        if isinstance(node, ast.JoinedStr) and any(
            str(getattr(p, "value", "")).endswith("vig-pyg ") for p in node.values
        ):
            yield node.lineno  # the name of the command follows
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and COMMAND.search(node.value):
            yield node.lineno


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ('raise ValueError(f"{a}: use `vig-pyg train`.")', [1]),
        ('_OTHERS = {\n    1: "use vig-pyg detect"}', [2]),
        ('log(f"vig-pyg {command}")', [1]),
        ("""raise ValueError(f"{a}: use `{as_started('vig-pyg train')}`.")""", []),
        ('"""Use `vig-pyg train`."""', []),
        ('print(f"vig-pyg: {told}")', []),
    ],
)
def test_a_bare_command_is_found(source, lines):
    assert list(bare_commands(source)) == lines


PACKAGE = Path(vig_pyg.__file__).parent


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_printed_command_starts_as_the_user_s_own(path):
    assert path.name == "launcher.py" or not list(bare_commands(path.read_text()))


@pytest.mark.parametrize("argv", [["train"], ["detect", "train"], ["segment", "evaluate"], ["evaluate"], ["ablate"]])
def test_the_commands_in_help_texts_can_be_copied(monkeypatch, capsys, argv):
    monkeypatch.setenv(UV, "1")
    with pytest.raises(SystemExit):
        main([*argv, "--help"])
    text = capsys.readouterr().out.partition("\n\n")[2]  # below the usage
    assert len(re.findall("uv run vig-pyg", text)) == len(re.findall(r"vig-pyg(?! is )", text)) > 1
