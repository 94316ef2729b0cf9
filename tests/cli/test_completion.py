import argparse
import subprocess
import sys

import pytest

from vig_pyg.cli import COMMANDS, completion, main, make_parser

pytest.importorskip("shtab")


@pytest.fixture(scope="module")
def plain():
    return completion.plain_parser(make_parser())


def leaves(parser, *names):
    """All commands of a parser with their words."""
    parts = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    found = [leaf for part in parts for name, one in part.choices.items() for leaf in leaves(one, *names, name)]
    return found or [(names, parser)]


def test_every_command_has_all_its_flags(plain):
    commands = dict(leaves(plain))
    assert len({names[0] for names in commands}) == len(COMMANDS)
    for names, parser in leaves(make_parser()):
        source = parser.get_default("make_parser")
        actions = source()._actions if source else parser._actions
        known = {flag.replace("_", "-") for one in actions for flag in one.option_strings}
        assert known == {flag for one in commands[names]._actions for flag in one.option_strings}, names
    assert {"--batch-size", "--augmentation.flip", "--resume"} <= set(commands["train",]._option_string_actions)


@pytest.mark.parametrize("shell", completion.USE)
def test_the_script_is_printed(shell, capsys):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert all(word in text for word in ("predict", "--batch-size", "doctor"))
    if shell == "bash":
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_bash_completes_commands_and_flags(capsys):
    main(["completion", "bash"])
    script = capsys.readouterr().out
    for words, expected in (
        ("vig-pyg pre", "predict"),
        ("vig-pyg train --epo", "--epochs"),
        ("vig-pyg detect tr", "train"),
    ):
        words = words.split()
        ask = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_vig_pyg; echo ${{COMPREPLY[*]}}"
        done = subprocess.run(["bash", "-c", script + "\n" + ask], capture_output=True, text=True)
        assert done.stdout.split() == [expected], (words, done.stdout, done.stderr)


def test_an_unknown_shell_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "vig_pyg", "completion", "fihs"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "expected one of bash, zsh, tcsh, got 'fihs'" in done.stderr
