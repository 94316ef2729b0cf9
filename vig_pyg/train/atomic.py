"""Files that are whole or not there: written beside, then renamed."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io import TorchCheckpointIO


def write_atomic(path: str | Path, content: bytes | str) -> None:
    """Write a file in one step: after a crash, a kill or a full disk the name holds the old content or the new.

    Args:
        path: The file.
        content: All of it; text is written as UTF-8.

    Raises:
        OSError: If it cannot be written, for example on a full disk; what was there before is still there.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # mkstemp's are for the owner alone
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"{path} could not be written ({error.strerror or error}).") from error
    finally:
        Path(partial).unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_atomic_with(path: str | Path, writer: Callable[[BinaryIO], Any]) -> None:
    """As `write_atomic`, with what a writer puts into a file, such as `Figure.savefig`."""
    buffer = io.BytesIO()
    writer(buffer)
    write_atomic(path, buffer.getvalue())


def _sync_folder(folder: Path) -> None:
    """The new name too survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        if storage_options is not None:
            raise TypeError("Checkpoints are written to local folders: storage_options has no meaning here.")
        write_atomic_with(path, lambda file: torch.save(checkpoint, file))
