"""Atomic writing of Lightning's checkpoints, and reading of checkpoints without executing code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from vig_pyg._io.output import write_file
from vig_pyg._io.text import error_text
from vig_pyg.checkpoints._torch_file import check_records, forget_unread_tensors

#: Entries of every checkpoint that Lightning writes for this package.
ENTRIES = ("state_dict", "epoch", "global_step", "loops", "callbacks", "optimizer_states")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint into CPU memory; no code in it is executed.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is damaged, is not a checkpoint, or contains more than tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no checkpoint at {path}.")
    try:
        with path.open("rb") as file:
            check_records(file, path.stat().st_size)
        # `weights_only` is explicit, because the default depends on Lightning's version and on environment variables
        forget_unread_tensors()
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        why = f"reading it would execute {asked[1]}" if asked else error_text(error, limit=200)
        raise ValueError(
            f"{path} contains more than tensors and plain values ({why}). It is refused, and nothing in it was run."
        ) from error
    except Exception as error:  # for damaged files, torch raises errors of many types
        raise ValueError(
            f"{path} is damaged, truncated or not a checkpoint ({error_text(error, limit=200)}). Nothing in it was run."
        ) from error
    if not isinstance(content, dict) or any(name not in content for name in ENTRIES):
        raise ValueError(f"{path} is not a checkpoint of a run: it needs the entries {', '.join(ENTRIES)}.")
    return content


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes Lightning's checkpoints atomically, and reads them without executing code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if storage_options is not None:
            raise TypeError("Checkpoints are written to local folders: storage_options has no meaning here.")
        write_file(path, lambda file: torch.save(checkpoint, file), overwrite=True)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = None,  # noqa: ARG002  (Lightning's signature)
        weights_only: bool | None = None,  # noqa: ARG002  (versions of Lightning before 2.6 do not pass it)
    ) -> dict[str, Any]:
        return read_checkpoint(path)
