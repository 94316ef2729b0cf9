"""Output files and folders that are complete or absent, and that replace others only when told."""

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

#: What to write: bytes, text, or something that writes into an open file, such as `Figure.savefig`.
Content = bytes | str | Callable[[BinaryIO], Any]


@contextmanager
def new_folder(path: str | Path, *, keep: Callable[[], bool] = lambda: False) -> Iterator[Path]:
    """A new folder to fill; after an error or Ctrl-C it is removed, with the folders above it that were made.

    Args:
        path: The folder; there must be nothing of that name.
        keep: Called after an error; the folder stays if it returns true.

    Raises:
        OSError: If it exists or cannot be made (see `check_new_folder`).

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
    """Write a file in one step: after a crash, a kill or a full disk the name holds the old content or the new.

    Args:
        path: The file; its folder is made if needed.
        content: Content of the file; text is written as UTF-8.
        overwrite: If true, it may replace another file.

    Raises:
        FileExistsError: If there is a folder, a link, a pipe, a device, or a file that is not to be overwritten.
        NotADirectoryError: If its folder is a file.
        OSError: If it cannot be written, for example on a full disk; what was there before is still there.
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
    """The bytes in a file beside it, which then takes the name."""
    # a long name leaves no room for more letters in the name of the partial file
    handle, partial = tempfile.mkstemp(prefix=f".{path.name[:40]}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # mkstemp's are for the owner alone
        os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)


def _as_bytes(content: Content) -> bytes:
    if callable(content):
        buffer = io.BytesIO()
        content(buffer)
        return buffer.getvalue()
    # a name of a file may be no Unicode; the backslash is what JSON wants
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content


def _make_folders(folder: Path, made: list[Path]) -> None:
    """The folder and those above it; what is made is noted at once, so that an interrupt cannot lose it."""
    if folder.is_dir():
        return
    _make_folders(folder.parent, made)
    try:
        _make_folder(folder, made)
    except FileExistsError:
        if not folder.is_dir():  # another process may have made it meanwhile
            raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    made.append(folder)
    try:
        folder.mkdir()
    except FileExistsError:
        made.pop()  # it is somebody else's
        raise


def _remove_empty(made: list[Path]) -> None:
    """Folders that were made for nothing; one that somebody else has filled stays."""
    for one in reversed(made):
        with suppress(OSError):
            one.rmdir()


def _sync_folder(folder: Path) -> None:
    """Make the new name survive a power cut, where folders can be synchronized."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
