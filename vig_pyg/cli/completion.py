"""`vig-pyg completion`: a script for the completion of commands, flags and files by the Tab key."""

from __future__ import annotations

import argparse
import re

from vig_pyg._io.launcher import as_started
from vig_pyg.cli._options import say_next
from vig_pyg.cli._parser import described

#: How to use the script in each shell.
USE = {
    "bash": "vig-pyg completion bash > ~/.local/share/bash-completion/completions/vig-pyg",
    "zsh": "vig-pyg completion zsh > /usr/local/share/zsh/site-functions/_vig-pyg",
    "tcsh": "vig-pyg completion tcsh > ~/.vig-pyg.tcsh; source ~/.vig-pyg.tcsh",
}
#: Placeholders of files and folders in the help.
FILES = {"FILE", "PATH", "IMAGE", "IMAGES", "MODEL", "DATA", "SOURCE", "OUT", "FOLDER", "RUN"}
FOLDERS = {"FOLDER", "RUN"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    completion = commands.add_parser(
        "completion",
        **described(
            "print a script with which a shell completes commands, flags and files",
            {command: f"for {shell}" for shell, command in USE.items()},
        ),
    )
    completion.add_argument("shell", metavar="SHELL", choices=list(USE), help=f"one of {', '.join(USE)}")
    completion.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    from vig_pyg._requirements import require

    require("Completion", ["shtab", "jsonargparse"], "completion,train")
    import shtab

    from vig_pyg.cli import make_parser

    print(shtab.complete(plain_parser(make_parser()), shell=args.shell))
    say_next(as_started(USE[args.shell]))


def plain_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return a parser with the same commands, flags and choices, as shtab reads them.

    The flags of training commands are those of a configuration, so they are created here.

    Example:
        >>> parser = argparse.ArgumentParser(prog="a"); flag = parser.add_argument("--b_c", type=int)
        >>> plain_parser(parser)._actions[-1].option_strings
        ['--b-c']
    """
    from vig_pyg.engine.config_parser import ConfigParser

    plain = argparse.ArgumentParser(prog=parser.prog, description=parser.description, add_help=False)
    source = make() if (make := parser.get_default("make_parser")) else parser
    if isinstance(source, ConfigParser):
        source.complete_help()
    for action in source._actions:
        if isinstance(action, argparse._SubParsersAction):
            parts = plain.add_subparsers(metavar="COMMAND")
            helps = {one.dest: one.help for one in action._choices_actions}
            for name, part in action.choices.items():
                found = plain_parser(part)
                parts.add_parser(name, parents=[found], add_help=False, help=helps.get(name))
        else:
            _add(plain, action)
    return plain


def _add(plain: argparse.ArgumentParser, action: argparse.Action) -> None:
    """Add a flag or an argument, with the way in which a shell completes its value."""
    flags = [re.sub(r"(?<=\w)_", "-", flag) for flag in action.option_strings]
    text = (action.help or "").replace("%", "%%")
    if action.nargs == 0:
        plain.add_argument(*flags, action="store_true", help=text)
        return
    places = {action.metavar} if isinstance(action.metavar, str) else set(action.metavar or ())
    choices = list(action.choices) if action.choices is not None else None
    made = plain.add_argument(
        *(flags or [action.dest]), nargs=action.nargs, choices=choices, metavar=action.metavar, help=text
    )
    if places & FILES:
        import shtab

        made.complete = shtab.DIRECTORY if places <= FOLDERS else shtab.FILE  # type: ignore[attr-defined]
