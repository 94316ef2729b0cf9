"""Detectors train in one process."""

from __future__ import annotations

import os

#: Variables of the shell, and their values in a single process.
_ALONE = {"RANK": 0, "LOCAL_RANK": 0, "SLURM_PROCID": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}


def check_alone() -> None:
    """Raise `ValueError` where the environment says that this is one of several processes.

    They would all write the same run folder. A variable that is left over from another run says so, too.
    """
    for name, alone in _ALONE.items():
        value = os.environ.get(name, "").strip()
        if value and value != str(alone):
            raise ValueError(
                f"Object detection trains in one process, but the environment has {name}={value}. Start it without "
                f"torchrun or srun; if the variable is left over from another run: unset {name}."
            )
