"""The parser of the command line, with error messages of one line that suggest what was probably meant."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from vig_pyg._io.launcher import as_started
from vig_pyg._io.schema import nearest
from vig_pyg._io.text import terminal_text

#: What is done in Python and has no command, by words that a user may try.
IN_PYTHON = {
    "export": "a model is exported in Python, with vig_pyg.export",
    **dict.fromkeys(("hub", "push", "upload"), "a model is uploaded in Python, with its method push_to_hub"),
}
#: Largest length of an example beside which there is what it does.
_COLUMN = 54


class Parser(argparse.ArgumentParser):
    """A parser that knows no abbreviated flags, and whose messages escape the arguments.

    Args:
        raw: If true, all arguments are stored unparsed in `argv`; the command parses them itself when it runs, with
            flags from a configuration.
    """

    def __init__(self, *, raw: bool = False, **options: Any) -> None:
        super().__init__(**{"add_help": not raw, "allow_abbrev": False, **options})
        self.raw = raw

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        if not self.raw:
            self._check_flags(args)
            found, unknown = super().parse_known_args(args, namespace)
            if unknown:  # reported here, because the parser of the command knows its flags
                self.error(self._unexpected(unknown[0]))
            return found, []
        found, _ = super().parse_known_args([], namespace)
        found.argv = list(args)
        return found, []

    def _check_flags(self, args: Any) -> None:
        """Report an unknown flag before a missing argument, which may follow from it."""
        if self._subparsers is not None:  # the flags after a command are checked by the parser of the command
            return
        for word in args if args is not None else []:
            if word == "--":
                return
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                self.error(self._unexpected(word))

    def _unexpected(self, word: str) -> str:
        if not word.startswith("-") and not self._get_positional_actions():
            return f"Unexpected argument {word!r}: this command has only flags"
        if not word.startswith("-"):
            return f"Unexpected argument {word!r}: put paths together, before or after all options"
        known = [flag for action in self._actions for flag in action.option_strings]
        return f"Unknown flag {nearest(word.partition('=')[0], known)}"

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = ", ".join(map(str, action.choices))
        if isinstance(action, argparse._SubParsersAction):
            instead = f"; {IN_PYTHON[value]}" if value in IN_PYTHON else ""
            self.error(f"Unknown command {nearest(value, list(action.choices))}: choose one of {names}{instead}")
        wrong = nearest(value, list(map(str, action.choices)))
        raise argparse.ArgumentError(action, f"expected one of {names}, got {wrong}")

    def error(self, message: str) -> NoReturn:
        for kind, number in (("int", "a whole number"), ("float", "a number")):
            message = message.replace(f"invalid {kind} value: ", f"expected {number}, got ")
        message = message.replace("the following arguments are required: ", "these arguments are missing: ")
        message = f"{message[:1].upper()}{message[1:]}"
        self.exit(2, f"vig-pyg: {terminal_text(message, limit=2000)}; see {as_started(self.prog)} --help.\n")


class Examples(argparse.RawDescriptionHelpFormatter):
    """A help formatter that keeps the lines of examples."""


def described(about: str, examples: Mapping[str, str], *, note: str = "") -> dict[str, Any]:
    """Return the options of `add_parser` for a command whose help has its purpose and examples.

    Args:
        about: The purpose, as a sentence without capital letter and period; the list of commands shows it too.

    Example:
        >>> described("list the models", {"vig-pyg models": "names and sizes"})["description"]
        'List the models.'
    """
    text = example_lines(examples)
    if note:
        text += f"\n{textwrap.fill(note, 100)}\n"
    description = f"{about[0].upper()}{about[1:]}."
    return {"help": about, "description": description, "epilog": text, "formatter_class": Examples}


def example_lines(examples: Mapping[str, str]) -> str:
    """Return the examples of a help as they are typed here, each with what it does, below a long command.

    Example:
        >>> example_lines({"ls": "list", "ls -a": "list all"}).splitlines()
        ['examples:', '  ls      list', '  ls -a   list all']
    """
    width = max([len(as_started(command)) for command in examples if len(command) <= _COLUMN], default=_COLUMN // 4)
    lines = ["examples:" if len(examples) > 1 else "example:"]
    for command, what in examples.items():
        gap = f"\n{'':{width + 2}}" if len(command) > _COLUMN else ""
        lines.append(f"  {as_started(command):{width}}{gap}   {what}")
    return "\n".join([*lines, ""])


def show_help(parser: argparse.ArgumentParser) -> None:
    """Let a command without a subcommand print its help."""
    parser.set_defaults(run=lambda _: parser.print_help())


def empty_argument(argv: Sequence[str]) -> str:
    """Return the message about an empty argument, or `""`; as a path it would silently mean the current folder.

    Example:
        >>> empty_argument(["predict", "runs/mine", ""])
        "The argument after 'runs/mine' is empty: name it, or write . for the current folder."
        >>> empty_argument(["train", "--data=photos"])
        ''
    """
    for before, word in zip(["vig-pyg", *argv], argv, strict=False):
        if not word or (word.startswith("--") and word.endswith("=") and word.count("=") == 1):
            place = word or before
            shown = terminal_text(place, limit=100)
            return f"The argument after {shown!r} is empty: name it, or write . for the current folder."
    return ""
