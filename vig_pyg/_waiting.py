"""Lets the waiting threads of the command line sleep after a short spin, unless the user has chosen how they wait.

Between two parallel regions the threads of OpenMP spin for a long time. Beside another busy process they then occupy
the cores that this process and the other one need, which makes training many times slower. OpenMP reads its settings
when torch is loaded, so this module is imported before torch, and what is busy at that time decides. A program that
imports the library keeps its own settings.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, MutableMapping, Sequence
from itertools import pairwise
from pathlib import Path

#: Variables with which a user chooses how threads wait.
CHOICES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
#: Turns of a wait before it sleeps, if the cores are free, and if other programs need them. Networks for small images
#: train faster with the long wait, but much slower with it beside a busy process (`examples/benchmarks/beside.py`).
FREE, CONTESTED = "3000", "300"
#: Times at which running threads are counted, in seconds from one to the next.
SAMPLES, PAUSE = 5, 0.005


def is_command(arguments: Sequence[str]) -> bool:
    """True if the interpreter was started as the command `vig-pyg`, or with `-m vig_pyg`.

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


def running_threads(path: Path = Path("/proc/loadavg")) -> int:
    """Return how many other threads run or could run on this machine now, or 0 where Linux does not tell.

    Example:
        >>> running_threads() >= 0
        True
    """
    counts = []
    try:
        for _ in range(SAMPLES):
            counts.append(int(path.read_text().split()[3].partition("/")[0]))
            time.sleep(PAUSE)
    except (OSError, ValueError, IndexError):
        return 0
    return max(sorted(counts)[len(counts) // 2] - 1, 0)


def are_cores_contested(others: int, cores: int, own: int, wanted: str | None) -> bool:
    """True if there are fewer cores than threads that other programs run and that torch will run.

    Args:
        others: Number of threads of other programs.
        cores: Number of cores of the machine.
        own: Number of cores on which this process may run.
        wanted: The variable `OMP_NUM_THREADS`; by default torch runs a thread on each of its own cores.

    Example:
        >>> are_cores_contested(1, 8, 8, None), are_cores_contested(1, 8, 4, None), are_cores_contested(1, 8, 8, "4")
        (True, False, False)
    """
    threads = int(wanted) if wanted is not None and wanted.isdecimal() else own
    return others + min(threads, own) > cores


def let_threads_sleep(
    arguments: Sequence[str], environment: MutableMapping[str, str], others: Callable[[], int]
) -> None:
    """Set a short spin for a command, and a shorter one if other programs need the cores (`GOMP_SPINCOUNT`).

    If the user has chosen how threads wait, nothing is set.

    Args:
        others: Function that returns how many threads of other programs run.

    Example:
        >>> environment = {}
        >>> let_threads_sleep(["python", "-m", "vig_pyg", "train"], environment, lambda: 0); environment
        {'GOMP_SPINCOUNT': '3000'}
    """
    if not is_command(arguments) or any(name in environment for name in CHOICES):
        return
    cores = os.cpu_count() or 1
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    contested = are_cores_contested(others(), cores, own, environment.get("OMP_NUM_THREADS"))
    environment["GOMP_SPINCOUNT"] = CONTESTED if contested else FREE


let_threads_sleep(sys.orig_argv, os.environ, running_threads)
