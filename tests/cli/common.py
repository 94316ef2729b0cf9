"""What tests of commands share."""

import json
import re

import yaml

from vig_pyg.cli import main

QUICK = ["--epochs", "1", "--batch-size", "4", "--image-size", "32", "--num-workers", "0", "--quiet"]


def fails(capsys, *argv):
    """The one line that a command prints for a mistake of the user, and the lines of its list of files below it.

    Notes, which may be printed before, are left out.
    """
    capsys.readouterr()  # what earlier commands have printed
    status = main([str(arg) for arg in argv])
    lines = capsys.readouterr().err.splitlines(keepends=True)
    err = "".join(line for line in lines if not line.startswith("vig-pyg: note: "))
    assert status == 2
    assert err.startswith("vig-pyg: ")
    assert all(line.startswith("  ") for line in err.splitlines()[1:]) and err.count("\n") <= 12
    return err


def check_presets_in_help(parser, usual, presets, *, skip=()):
    """Check that each flag's help names the default value and those of the presets, and return the checked flags.

    The configurations `usual` and `presets` are dataclasses. A help ends like "(default: 20, or 50 with a and b)".
    """
    name = f"(?:{'|'.join(map(re.escape, presets))})"
    by_preset = re.compile(rf"(?:^|, (?:or )?)((?:(?!, or ).)+?) with ({name}(?:(?:, | and ){name})*)(?=, |$)")
    checked = []
    for action in parser._actions:
        if action.dest not in parser.checks or action.dest in skip:
            continue
        found = re.search(r"[(;] ?default: (.*)\)$", action.help)
        text = found[1] if found else "null"
        parts = [(yaml.safe_load(part[1]), re.split(", | and ", part[2])) for part in by_preset.finditer(text)]
        told = {name: value for value, listed in parts for name in listed}
        first = by_preset.search(text)
        default = text if first is None else text[: first.start()] or "null"
        assert yaml.safe_load(default) == plain(usual, action.dest), (action.dest, text)
        for name, config in presets.items():
            assert told.get(name, plain(usual, action.dest)) == plain(config, action.dest), (action.dest, name, text)
        checked.append(action.dest)
    return checked


def plain(config, name):
    """A value of a configuration by its dotted name, as a file has it."""
    for part in name.split("."):
        config = getattr(config, part)
    return json.loads(json.dumps(config))
