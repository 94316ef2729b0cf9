"""Atomic writing of output files and folders, which replace existing files only on request."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vig_pyg._io._output_checks import check_free, check_new_folder, check_no_input, named

__all__ = ["Content", "check_free", "check_new_folder", "check_no_input", "new_folder", "write_file"]

#: The content of a file: bytes, text, or a function that writes into an open file, such as `Figure.savefig`.
Content = bytes | str | Callable[[BinaryIO], Any]


@contextmanager
def new_folder(path: str | Path, *, keep: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """A context with a new folder; after an error or Ctrl-C, the folder and its created parent folders are removed.

    Args:
        keep: Function that is called after an error; if it returns true, the folder is not removed.

    Raises:
        OSError: If the folder exists or cannot be created (see `check_new_folder`).

    Example:
        >>> with tempfile.TemporaryDirectory() as root, new_folder(Path(root) / "results") as folder:
        ...     write_file(folder / "a.txt", "done")
    """
    path = Path(path)
    check_new_folder(path)
    made: list[Path] = []
    try:
        try:
            _make_folders(path.parent, made)
            _make_folder(path, made)
        except OSError as error:
            raise named(path, error) from error
        yield path
    except BaseException:
        if path in made and not keep():
            shutil.rmtree(path, ignore_errors=True)
        _remove_empty(made)
        raise


def write_file(path: str | Path, content: Content, *, overwrite: bool = False) -> None:
    """Write a file atomically: after a crash, a kill or a full disk, the file has either the old or the new content.

    Args:
        path: The file; its folder is created if necessary.
        content: The whole content; text is written as UTF-8.

    Raises:
        FileExistsError: If the path is a folder, a link, a pipe or a device, or a file exists and `overwrite` is false.
        NotADirectoryError: If the parent folder is a file.
        OSError: If the file cannot be written, for example on a full disk; an existing file is then unchanged.
    """
    path = Path(path)
    check_free(path, overwrite=overwrite)
    data = _as_bytes(content)
    made: list[Path] = []
    try:
        _make_folders(path.parent, made)
        _replace(path, data)
    except BaseException as error:
        _remove_empty(made)
        if isinstance(error, OSError):
            raise named(path, error) from error
        raise
    _sync_folder(path.parent)


def _replace(path: Path, data: bytes) -> None:
    """Write the bytes to a temporary file in the same folder, and rename it."""
    # the name of the temporary file contains only the start of a long name, because its length is limited
    handle, partial = tempfile.mkstemp(prefix=f".{path.name[:40]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # only the owner can read a file that mkstemp creates
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _as_bytes(content: Content) -> bytes:
    if callable(content):
        buffer = io.BytesIO()
        content(buffer)
        return buffer.getvalue()
    # file names may contain invalid Unicode, which needs an escape, also in JSON
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content


def _make_folders(folder: Path, made: list[Path]) -> None:
    """Create the folder and its parents; each is recorded immediately, in case of an interrupt."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, made)
    try:
        _make_folder(folder, made)
    except FileExistsError:
        if not folder.is_dir():  # another process may have created the folder in the meantime
            raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    made.append(folder)
    try:
        folder.mkdir()
    except FileExistsError:
        made.pop()  # another process has created the folder
        raise


def _remove_empty(made: list[Path]) -> None:
    """Remove created folders that are empty; folders that another process has filled are not removed."""
    for one in reversed(made):
        with suppress(OSError):
            one.rmdir()


def _sync_folder(folder: Path) -> None:
    """Synchronize the folder, if the system supports it, so that the new name survives a power failure."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
