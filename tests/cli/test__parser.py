import random
import string

import pytest

from tests.cli.common import fails
from vig_pyg.cli import COMMANDS, main, make_parser
from vig_pyg.cli._options import in_shell, say_next

#: Commands without arguments of their own, whose flags are found by the parser.
PARTS = [["predict"], ["evaluate"], ["graph"], ["models"], ["convert"], ["doctor"], ["completion"],
         ["detect", "predict"], ["detect", "evaluate"], ["segment", "predict"], ["segment", "evaluate"]]  # fmt: skip
RAW = [["train"], ["ablate"], ["detect", "train"], ["segment", "train"]]


def parser_of(names):
    """The parser of a command; training commands create theirs."""
    found = make_parser()
    for name in names:
        (parts,) = (one for one in found._actions if hasattr(one, "_name_parser_map"))
        found = parts.choices[name]
    if not found.get_default("make_parser"):
        return found
    parser = found.get_default("make_parser")()
    parser.complete_help()
    return parser


def refused(capsys, argv):
    """The line of an error, of argparse or of a command."""
    try:
        assert main(argv) == 2
    except SystemExit as stop:
        assert stop.code == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("vig-pyg: ") and err.count("\n") == 1, err
    return err


@pytest.mark.parametrize("names", [*PARTS, *RAW], ids=" ".join)
def test_no_flag_may_be_shortened_or_misspelled(names, capsys):
    """Each flag without its last letters, and with two letters exchanged."""
    noise = random.Random(str(names))
    flags = {flag.replace("_", "-") for one in parser_of(names)._actions for flag in one.option_strings}
    flags = sorted(flag for flag in flags if flag.startswith("--") and len(flag) > 5)
    for flag in noise.sample(flags, min(8, len(flags))):
        at = noise.randrange(3, len(flag) - 1)
        swapped = flag[:at] + flag[at + 1] + flag[at] + flag[at + 2 :]
        for wrong in {flag[:-1], swapped} - set(flags):
            err = refused(capsys, [*names, wrong, "3"])
            assert f"Unknown flag '{wrong}' (did you mean '--" in err, err
            assert f"see vig-pyg {' '.join(names)} --help" in err


@pytest.mark.parametrize("names", [[], ["detect"], ["segment"]], ids=" ".join)
def test_a_misspelled_command_has_a_suggestion(names, capsys):
    noise = random.Random(0)
    for name in parser_of(names)._actions[-1].choices:
        wrong = name + noise.choice(string.ascii_lowercase) * 2
        assert f"Unknown command '{wrong}' (did you mean '{name}'?)" in refused(capsys, [*names, wrong])


@pytest.mark.parametrize("names", [[], ["detect"], ["segment"]], ids=" ".join)
def test_alone_it_shows_what_one_can_do(names, capsys):
    assert main(names) == 0
    out, err = capsys.readouterr()
    assert not err and "commands:" in out
    if not names:
        assert all(command.__name__.rpartition(".")[2] in out for command in COMMANDS)
        assert out.count("  vig-pyg ") == 3 and "vig-pyg doctor" in out


@pytest.mark.parametrize("names", [*PARTS, *RAW], ids=" ".join)
def test_every_option_is_explained(names):
    for action in parser_of(names)._actions:
        assert action.help and action.help.strip(), action


def test_what_is_left_over_is_named(capsys):
    assert "Unexpected argument 'b': put paths together" in refused(capsys, ["predict", "m", "a", "--quiet", "b"])
    assert "Unexpected argument 'stray': every value follows its flag" in fails(capsys, "train", "stray")
    assert "--epochs needs a value" in fails(capsys, "train", "--epochs")
    assert "These arguments are missing: PATH; see vig-pyg predict --help" in refused(capsys, ["predict", "m"])


class Terminal:
    def isatty(self):
        return True

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_the_next_step_is_shown_on_a_terminal_only(monkeypatch, capsys):
    say_next("a")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    say_next(in_shell("vig-pyg", "predict", "my run", "IMAGES"), "b")
    assert terminal.text == "\nNext: vig-pyg predict 'my run' IMAGES\n      b\n"
    monkeypatch.setattr("sys.stdout", None)
    say_next("a")


@pytest.mark.parametrize("argv", [["models"], ["doctor"], ["completion", "bash"]], ids=" ".join)
def test_the_last_lines_of_a_command_say_what_is_next(argv, monkeypatch):
    monkeypatch.setattr("vig_pyg.builders.list_models", lambda: ["vig_micro"])
    monkeypatch.setattr("vig_pyg.cli.doctor.examine", lambda: {"a": {"b": "c"}})
    monkeypatch.setattr("sys.stdout", terminal := Terminal())
    assert main(argv) == 0
    assert terminal.text.splitlines()[-1].startswith("Next: vig-pyg ")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["train", "--freeze"], "--freeze needs a value (true or false)"),
        (["train", "--lr"], "--lr needs a value (a number above 0, at most 1000)"),
        (["train", "--options.depths"], "--options.depths needs a value (one argument expected)"),
        (["segment", "train", "--image-size"], "--image-size needs a value (a whole number"),
        (["detect", "train", "--train"], "--train needs a value ("),
        (["train", "--options.dephts", "3", "--model", "pvig_micro"], "Did you mean 'depths'?"),
        (["train", "--options.chanels", "3"], "Did you mean 'channels'?"),
        (["ablate", "--options.dephts", "3", "--model", "pvig_micro"], "Did you mean 'depths'?"),
        (["predict", "pvig_smal", __file__], "Did you mean 'pvig_small'?"),
        (["evaluate", "vig_tinny", "."], "Did you mean 'vig_tiny'?"),
    ],
    ids=str,
)
def test_a_mistake_is_told_before_any_work_with_what_was_meant(argv, expected, capsys):
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and expected in err and err.count("\n") == 1
