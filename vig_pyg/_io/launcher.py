"""How the user has started the command, so that printed commands can be copied to the same shell."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise

#: Set by `uv run`. Outside of it, the environment of a project is usually not active.
UV = "UV_RUN_RECURSION_DEPTH"


def launcher(environment: Mapping[str, str] | None = None, arguments: Sequence[str] | None = None) -> str:
    """Return how `vig-pyg` is started in the user's shell.

    Args:
        environment: Environment variables; by default those of the process.
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
    if any(pair == ("-m", "vig_pyg") for pair in pairwise(arguments)) or "-mvig_pyg" in arguments:
        return f"{shlex.quote(os.path.basename(arguments[0]))} -m vig_pyg"
    return "vig-pyg"


def as_started(command: str) -> str:
    """Return a command of the form `vig-pyg ...` as the user would type it.

    Example:
        >>> as_started("vig-pyg train").endswith(" train")
        True
    """
    return command.replace("vig-pyg", launcher(), 1)
