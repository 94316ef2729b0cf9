"""Files that are whole or not there, and replace others only when told."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def check_free(path: str | Path, *, overwrite: bool = False) -> None:
    """Raise `FileExistsError` if there is something and it is not to be overwritten, before the work is done."""
    path = Path(path)
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder, expected the name of a file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another name, or say --overwrite.")


def write_file(path: str | Path, content: bytes | str, *, overwrite: bool = False) -> None:
    """Write a file in one step: the name holds all of it, or what it held before.

    Args:
        path: The file; its folder is made if needed.
        content: All of it; text is written as UTF-8.
        overwrite: Whether it may replace another.

    Raises:
        FileExistsError: If it exists and is not to be overwritten.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(partial, 0o644)  # mkstemp's are for the owner alone
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
