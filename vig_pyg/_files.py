"""Files that are whole or not there, and replace others only when told."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

#: What to write: bytes, text, or something that writes into an open file, such as `Figure.savefig`.
Content = bytes | str | Callable[[BinaryIO], Any]


def check_free(path: str | Path, *, overwrite: bool = False) -> None:
    """Raise an `OSError` if there is something that is not to be overwritten, or no folder, before the work is done."""
    path = Path(path)
    if path.is_dir():
        raise FileExistsError(f"{path} is a folder, expected the name of a file to write.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another name, or say --overwrite.")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"{path} cannot be written: {above} is a file, not a folder.")


def write_file(path: str | Path, content: Content, *, overwrite: bool = False) -> None:
    """Write a file in one step: after a crash, a kill or a full disk the name holds the old content or the new.

    Args:
        path: The file; its folder is made if needed.
        content: All of it; text is written as UTF-8.
        overwrite: Whether it may replace another.

    Raises:
        FileExistsError: If it exists and is not to be overwritten.
        NotADirectoryError: If its folder is a file.
        OSError: If it cannot be written, for example on a full disk; what was there before is still there.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite)
    data = _as_bytes(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(partial, 0o644)  # mkstemp's are for the owner alone
            os.replace(partial, path)
        finally:
            Path(partial).unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"{path} could not be written ({error.strerror or error}).") from error
    _sync_folder(path.parent)


def _as_bytes(content: Content) -> bytes:
    if callable(content):
        buffer = io.BytesIO()
        content(buffer)
        return buffer.getvalue()
    # a name of a file may be no Unicode; the backslash is what JSON wants
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content


def _sync_folder(folder: Path) -> None:
    """The new name too survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
