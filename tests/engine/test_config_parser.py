import random
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from vig_pyg._io.schema import Scalar, number, whole
from vig_pyg.engine.config_parser import ConfigParser

Share = Annotated[float, number(0, 1)]
Options = Annotated[dict[str, Any], Scalar("a mapping", lambda value: isinstance(value, dict))]


@dataclass(frozen=True, kw_only=True)
class Part:
    """Changes of images.

    Args:
        flip: Probability of a flip.
        crop_size: Side of the crop in pixels; null is off.
    """

    flip: Share = 0.5
    crop_size: Annotated[int, whole(1, 99)] | None = None


@dataclass(frozen=True, kw_only=True)
class Base:
    """Training

    Args:
        batch_size: Images of a step.
        ema: Decay of the average; null is off.
        keep: Which weights are kept.
        devices: Number of processes.
        freeze: Train the head alone.
    """

    batch_size: Annotated[int, whole(1, 99)] = 64
    ema: Share | None = None
    keep: Literal["last", "best"] = "last"
    devices: Annotated[int, whole(1, 8)] | Literal["auto"] = "auto"
    freeze: bool = False


@dataclass(frozen=True, kw_only=True)
class Whole(Base):
    """Data

    Args:
        train: Folder of the images.
        options: Options of the network.
        part: Changes.
        batch_size: Images of a step, in detection.
    """

    train: str
    options: Options = field(default_factory=dict)
    part: Part = field(default_factory=Part)
    batch_size: Annotated[int, whole(1, 99)] = 16


@pytest.fixture(scope="module")
def parser():
    return ConfigParser(
        Whole, prog="vig-pyg test", description="A test.", shortcuts={"k": "Neighbors.", "patch_size": "Pixels."}
    )


#: Values of each flag as text and as they are meant.
VALUES = {
    "train": [("a b", "a b"), ("5", "5"), ("null", "null"), ("x_y-z", "x_y-z"), ("[1]", "[1]")],
    "batch_size": [("1", 1), ("99", 99)],
    "ema": [("0", 0.0), ("1e-3", 1e-3), ("null", None), ("1", 1.0)],
    "keep": [("best", "best")],
    "devices": [("auto", "auto"), ("8", 8)],
    "freeze": [("true", True), ("false", False)],
    "part.flip": [("0.25", 0.25)],
    "part.crop_size": [("7", 7), ("null", None)],
    "options.k": [("9", 9), ("[3, 9]", [3, 9]), ("mr", "mr"), ("null", None), ("my_ops:MyConv", "my_ops:MyConv")],
    "options.patch_size": [("4", 4)],
}


def test_flags_are_the_fields_and_values_are_theirs(parser):
    """200 drawn command lines: only what is given, converted, whether spelled with dashes or as the field."""
    draw = random.Random(0)
    for _ in range(200):
        argv, expected = [], {}
        for name in draw.sample(list(VALUES), draw.randint(0, len(VALUES))):
            text, value = draw.choice(VALUES[name])
            flag = f"--{draw.choice([name, name.replace('_', '-')])}"
            if name.startswith("options.") and draw.random() < 0.5:
                flag = flag.replace("options.", "")
            argv += draw.choice([[flag, text], [f"{flag}={text}"]])
            part, _, inner = name.rpartition(".")
            if part == "part":
                expected.setdefault("part", {})[inner] = value
            else:
                expected[name] = value
        assert parser.parse_flags(argv) == expected


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--batch-size", "ten"], "--batch-size must be a whole number from 1 to 99, got 'ten'."),
        (["--batch_size=0"], "--batch-size must be a whole number from 1 to 99, got 0."),
        (["--batch-size", "1.5"], "--batch-size must be a whole number from 1 to 99, got '1.5'."),
        (["--ema", "nan"], "--ema must be a number from 0 to 1, or null, got 'nan'."),
        (["--ema", "1e400"], "--ema must be a number from 0 to 1, or null, got inf."),
        (["--keep", "first"], "--keep must be one of last, best, got 'first'."),
        (["--devices", "x"], "--devices must be a whole number from 1 to 8 or 'auto', got 'x'."),
        (["--freeze", "2"], "--freeze must be true or false, got '2'."),
        (["--part.flip", "7"], "--part.flip must be a number from 0 to 1, got 7.0."),
        (["--part.crop-size=x"], "--part.crop-size must be a whole number from 1 to 99, or null, got 'x'."),
        (["--batch", "1"], "Unknown flag '--batch' (did you mean '--batch-size'?): see vig-pyg test --help."),
        (["--part.flop", "1"], "Unknown flag '--part.flop' (did you mean '--part.flip'?): see vig-pyg test --help."),
        (["--kk", "1"], "Unknown flag '--kk' (did you mean '--k'?): see vig-pyg test --help."),
        (["--zzz=1"], "Unknown flag '--zzz': see vig-pyg test --help."),
        (["--options", "3"], "--options must be a mapping, got '3'."),
        (["stray"], "Unexpected argument 'stray': every value follows its flag; see vig-pyg test --help."),
        (["--train"], "--train needs a value (one argument expected): see vig-pyg test --help."),
    ],
)
def test_mistakes_are_one_line(parser, argv, said):
    with pytest.raises(ValueError) as error:
        parser.parse_flags(argv)
    assert str(error.value) == said


def test_hostile_words_are_one_printable_line(parser):
    """Each flag with 12 odd words: taken, or refused by one short line of printable text."""
    words = ["\x1b[2J", "\ud800", "x" * 10_000, "[" * 500, "{a: ", "!!python/object:os.system x", "9" * 5000, "\n"]
    words += ["&a [*a]", "-", "=", "٥"]
    refused = 0
    for name in VALUES:
        for word in words:
            try:
                parser.parse_flags([f"--{name}={word}"])
            except ValueError as error:
                refused += 1
                assert str(error).isprintable() and len(str(error)) < 2100
    assert refused > 60


def test_help_names_every_flag_with_bounds_and_default(parser, capsys):
    with pytest.raises(SystemExit) as stop:
        parser.parse_flags(["--help"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "--batch-size BATCH_SIZE Images of a step, in detection (a whole number from 1 to 99; default: 16)" in shown
    assert "--ema EMA Decay of the average; null is off (a number from 0 to 1, or null)" in shown
    assert "--keep {last,best} Which weights are kept (default: last)" in shown
    assert "--freeze {true,false} Train the head alone (default: false)" in shown
    assert (
        "--part.crop-size CROP_SIZE Side of the crop in pixels; null is off (a whole number from 1 to 99, or null)"
        in shown
    )
    assert "--train TRAIN Folder of the images --options" in shown
    assert [shown.index(title) for title in ("Data:", "Changes of images:", "Training:")] == sorted(
        shown.index(title) for title in ("Data:", "Changes of images:", "Training:")
    )
