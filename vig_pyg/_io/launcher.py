"""How the user has started the command, so that printed commands can be copied to the same shell."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence

#: Set by `uv run`. Outside of it, the environment of a project is usually not active.
UV = "UV_RUN_RECURSION_DEPTH"
#: Letters of the interpreter's flags that have a value, which is the rest of the word or the next one.
_WITH_VALUE = "cmWX"


def launcher(environment: Mapping[str, str] | None = None, arguments: Sequence[str] | None = None) -> str:
    """Return how `vig-pyg` is started in the user's shell.

    Args:
        arguments: The arguments of the interpreter; by default `sys.orig_argv`.

    Example:
        >>> launcher({}, ["python", "/bin/vig-pyg", "train"]), launcher({UV: "1"}, ["python", "/bin/vig-pyg", "train"])
        ('vig-pyg', 'uv run vig-pyg')
        >>> launcher({}, ["python3", "-m", "vig_pyg", "train"])
        'python3 -m vig_pyg'
    """
    arguments = sys.orig_argv if arguments is None else arguments
    if UV in (os.environ if environment is None else environment):
        return "uv run vig-pyg"
    if _module(arguments[1:]) == "vig_pyg":
        return f"{shlex.quote(os.path.basename(arguments[0]))} -m vig_pyg"
    return "vig-pyg"


def _module(words: Sequence[str]) -> str:
    """Return the module that the interpreter runs, or `""`; flags may share a word, as in `-Im vig_pyg`."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("-") or word in ("-", "--"):
            return ""  # a program, whose own flags follow
        if word.startswith("--"):
            next(rest, None)  # `--check-hash-based-pycs`, the only long flag before a module, has a value
            continue
        start = next((i for i, letter in enumerate(word) if letter in _WITH_VALUE), None)
        if start is None:
            continue
        value = word[start + 1 :] or next(rest, "")
        if word[start] in "cm":  # the interpreter reads no flags after these
            return value if word[start] == "m" else ""
    return ""


def as_started(command: str) -> str:
    """Return a command of the form `vig-pyg ...` as the user would type it.

    Example:
        >>> as_started("vig-pyg train").endswith(" train")
        True
    """
    return command.replace("vig-pyg", launcher(), 1)
