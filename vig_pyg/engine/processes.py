"""Detection of the rank and the number of processes from the environment variables of launchers.

If a variable of an earlier launcher is still set, a process could wrongly conclude that another process writes the
files. Therefore the variables of one launcher must be complete, and a variable of another launcher raises an error that
names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vig_pyg._io.text import terminal_text

Launcher = Literal["none", "torchrun", "SLURM", "LSF", "Lightning"]
#: Variables from which Lightning derives a rank, and the matching variables of the number of processes.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "NODE_RANK", "GROUP_RANK")
_SIZES = ("WORLD_SIZE", "LOCAL_WORLD_SIZE")
_LSF = ("LSB_JOBID", "LSB_DJOB_RANKFILE", "JSM_NAMESPACE_LOCAL_RANK", "JSM_NAMESPACE_SIZE")


@dataclass(frozen=True)
class Processes:
    """The position of this process among all processes of a run.

    Args:
        launcher: Name of the launcher that started the processes.
        first: True for the first process, which is the only one that writes files.
        world: Number of processes; 1 if no launcher started several (Lightning may start more later).

    Example:
        >>> Processes().world
        1
    """

    launcher: Launcher = "none"
    first: bool = True
    world: int = 1


def processes(env: Mapping[str, str] = os.environ) -> Processes:
    """Return the position of this process among all processes.

    Raises:
        ValueError: If the variables are incomplete, contradict each other, or are left over from another command; the
            message names them.

    Example:
        >>> processes({}).first
        True
    """
    if "TORCHELASTIC_RUN_ID" in env:
        return _started(
            "torchrun", env, rank="RANK", world="WORLD_SIZE", needed=("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        )
    if _is_slurm(env):
        return _started(
            "SLURM", env, rank="SLURM_PROCID", world="SLURM_NTASKS", needed=("SLURM_LOCALID", "SLURM_NODEID")
        )
    if all(name in env for name in _LSF):
        return _started("LSF", env, rank="JSM_NAMESPACE_RANK", world="JSM_NAMESPACE_SIZE", needed=())
    if all(name in env for name in ("LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")):
        return _by_lightning(env)
    for name in _RANKS:
        if _number(env, name, 0) > 0:
            raise _stale(env, name)
    for name in _SIZES:
        if _number(env, name, 1) > 1:
            raise _stale(env, name)
    return Processes()


def check_processes(devices: int | str, nodes: int, env: Mapping[str, str] = os.environ) -> Processes:
    """Return the position of this process, and check the number of processes.

    Args:
        devices: Number of processes on each machine, or `"auto"` if the number is not known yet.

    Raises:
        ValueError: As `processes`, or if another number of processes was started.

    Example:
        >>> check_processes(1, 1, env={}).first
        True
    """
    place = processes(env)
    wanted = devices * nodes if isinstance(devices, int) else None
    if place.launcher == "none":
        if "LOCAL_RANK" in env and wanted is not None and wanted > 1:
            raise ValueError(
                f"LOCAL_RANK={_shown(env, 'LOCAL_RANK')} is set, so the other {wanted - 1} processes would not be "
                "started: unset LOCAL_RANK, or start all processes with torchrun."
            )
    elif wanted is not None and wanted != place.world:
        raise ValueError(
            f"{place.launcher} has started {place.world} processes, but devices={devices} on {nodes} machines need "
            f"{wanted}: leave out devices and num_nodes, or start {wanted} processes."
        )
    elif place.launcher == "Lightning" and nodes > 1 and not {"NODE_RANK", "GROUP_RANK"} & env.keys():
        raise ValueError(f"NODE_RANK is not set: with num_nodes={nodes} each machine needs its number.")
    return place


def _started(
    launcher: Launcher, env: Mapping[str, str], *, rank: str, world: str, needed: tuple[str, ...]
) -> Processes:
    """Return the position of a process whose launcher sets a rank and a world size."""
    for name in (rank, world, *needed):
        if name not in env:
            raise ValueError(
                f"{launcher} seems to have started this process, but {name} is not set: start it with {launcher}, or "
                f"unset {'TORCHELASTIC_RUN_ID' if launcher == 'torchrun' else world}."
            )
    number, count = _number(env, rank, 0), _number(env, world, 1)
    if number >= count:
        raise ValueError(f"{rank}={number} and {world}={count} contradict each other: ranks count from 0. Unset both.")
    for other in ("RANK", "LOCAL_RANK"):  # Lightning would read these variables too
        if other in env and other != rank and launcher != "torchrun" and (_number(env, other, 0) > 0) > (number > 0):
            raise _stale(env, other)
    return Processes(launcher, number == 0, count)


def _by_lightning(env: Mapping[str, str]) -> Processes:
    """Return the position of a process that Lightning or a user started with Lightning's variables."""
    local, world = _number(env, "LOCAL_RANK", 0), _number(env, "WORLD_SIZE", 1)
    node = _number(env, "NODE_RANK", _number(env, "GROUP_RANK", 0))
    first = local == 0 and node == 0
    if local >= world or node >= world:
        raise ValueError(
            f"LOCAL_RANK={local}, NODE_RANK={node} and WORLD_SIZE={world} contradict each other: ranks count from 0. "
            "Unset them."
        )
    if "RANK" in env and (_number(env, "RANK", 0) == 0) != first:
        raise _stale(env, "RANK")
    return Processes("Lightning", first, world)


def _is_slurm(env: Mapping[str, str]) -> bool:
    """True if `srun` started this process; the number of tasks is also set in a shell inside an allocation."""
    if "SLURM_NTASKS" not in env or env.get("SLURM_JOB_NAME") in ("bash", "interactive"):
        return False
    return "SLURM_PROCID" in env or _number(env, "SLURM_NTASKS", 1) > 1


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ValueError(f"{name}={_shown(env, name)} is not a valid process number: unset {name}.")
    return int(text)


def _stale(env: Mapping[str, str], name: str) -> ValueError:
    return ValueError(
        f"{name}={_shown(env, name)} is set, but the other variables of a launcher are missing or contradict it, so it "
        f"seems to come from an earlier command. Unset {name}, or start all processes with torchrun or srun."
    )


def _shown(env: Mapping[str, str], name: str) -> str:
    return terminal_text(env[name], limit=40)
