"""Lets the waiting threads of the command line sleep after a short spin, unless the user has chosen how they wait.

Between two parallel regions the threads of OpenMP spin for a long time. Beside another busy process they then occupy
the cores that this process and the other one need, which makes training many times slower. OpenMP reads its settings
when torch is loaded, so this module is imported before torch. A program that imports the library keeps its own
settings.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from itertools import pairwise
from pathlib import Path

#: Variables with which a user chooses how threads wait.
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def is_command(arguments: Sequence[str]) -> bool:
    """True if the interpreter was started as the command `vig-pyg`, or with `-m vig_pyg`.

    Args:
        arguments: The arguments of the interpreter, as in `sys.orig_argv`.

    Example:
        >>> is_command(["python", "/usr/bin/vig-pyg", "train"]), is_command(["python", "-m", "pytest"])
        (True, False)
    """
    for before, argument in pairwise(arguments):
        if before == "-m":
            return argument.partition(".")[0] == "vig_pyg"
        if argument.startswith("-m") and argument != "-m":
            return argument[2:].partition(".")[0] == "vig_pyg"
        if not argument.startswith("-") and before not in ("-W", "-X"):  # the script
            return Path(argument).stem == "vig-pyg"
    return False


def let_threads_sleep(arguments: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """Set a short spin, `GOMP_SPINCOUNT=3000`, for a command, unless the user has chosen how threads wait.

    Args:
        arguments: The arguments of the interpreter, as in `sys.orig_argv`.
        environment: Environment variables, as in `os.environ`.

    Example:
        >>> environment = {}
        >>> let_threads_sleep(["python", "-m", "vig_pyg", "train"], environment); environment
        {'GOMP_SPINCOUNT': '3000'}
    """
    if is_command(arguments) and not any(name in environment for name in CHOICES):
        environment["GOMP_SPINCOUNT"] = "3000"  # without any spin, training alone is a fifth slower


let_threads_sleep(sys.orig_argv, os.environ)
