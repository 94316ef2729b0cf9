"""Lightning's checkpoints as files that are whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO

from vig_pyg._files import write_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if storage_options is not None:
            raise TypeError("Checkpoints are written to local folders: storage_options has no meaning here.")
        write_file(path, lambda file: torch.save(checkpoint, file), overwrite=True)
