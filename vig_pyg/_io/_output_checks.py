"""Checks of the names of output files and folders, made before the work whose result they will hold.

Outputs are never written through or over symbolic links, pipes or devices. That includes `/dev/stdout` and `/dev/null`:
a file that is replaced in one step cannot be a stream.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path


def check_free(path: str | Path, *, overwrite: bool = False, size: int = 0) -> None:
    """Raise an `OSError` before the work if its result could not be written as this file afterwards.

    Args:
        path: The file.
        overwrite: Whether it may replace another file.
        size: Estimate of its size in bytes, compared with the free space of the disk; 0 compares nothing.

    Raises:
        FileExistsError: If there is a folder, a link, a pipe, a device, or a file that is not to be overwritten.
        NotADirectoryError: If its folder is a file, or a link that leads nowhere.
        PermissionError: If its folder takes no files, or the file that it would replace is write-protected.
        OSError: If it cannot be a name, or the disk is too small.

    Example:
        >>> check_free("a file in the current folder", size=100)
    """
    path = Path(path)
    found = _look(path)
    if found is not None:
        _refuse_no_file(path, found)
        if not overwrite:
            raise FileExistsError(
                f"{path} exists already and is not overwritten: choose another name, or say --overwrite."
            )
        if not os.access(path, os.W_OK):
            raise PermissionError(f"{path} is write-protected and is not overwritten: choose another name.")
    _check_above(path, size)


def check_new_folder(path: str | Path, *, size: int = 0) -> None:
    """Raise an `OSError` before the work if this folder could not be made and filled afterwards.

    Args:
        path: The folder; there must be nothing of that name.
        size: Estimate of its content in bytes, compared with the free space of the disk; 0 compares nothing.

    Raises:
        FileExistsError: If it exists, even empty: a folder of results is never mixed with others.
        NotADirectoryError: If a folder above it is a file, or a link that leads nowhere.
        PermissionError: If no folder can be made there.
        OSError: If it cannot be a name, or the disk is too small.

    Example:
        >>> check_new_folder("a folder in the current folder")
    """
    path = Path(path)
    found = _look(path)
    if found is not None:
        if stat.S_ISLNK(found.st_mode):
            _refuse_no_file(path, found)
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another name, or remove it.")
    _check_above(path, size)


def check_no_input(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path]) -> None:
    """Raise a `ValueError` if a file to write is one that is read: `--overwrite` is meant for results of before.

    Args:
        outputs: The files to write; `None` is none.
        inputs: The files that are read; those that do not exist are passed over. They are looked at only where an
            output exists, and known by whatever name or link.

    Example:
        >>> check_no_input(["a file that is not there"], ["photo.jpg"])
    """
    there = {(found.st_dev, found.st_ino): path for path in outputs if path is not None and (found := _found(path))}
    if not there:
        return
    for path in inputs:
        found = _found(path)
        if found and (out := there.get((found.st_dev, found.st_ino))):
            raise ValueError(f"{out} would replace {path}, which is read: choose another name for the result.")


def _found(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _look(path: Path) -> os.stat_result | None:
    """Return the status of a name, links not followed; `None` if it is free, an `OSError` if it is impossible."""
    if "\0" in str(path):
        raise _error(OSError, errno.EINVAL, f"{str(path)!r} cannot be the name of a file: it holds a NUL character.")
    if os.name == "nt":
        _check_windows_name(path)
    try:
        return os.lstat(path)
    except NotADirectoryError:
        return None  # `_check_above` finds the file that is in the way, and names it
    except FileNotFoundError:
        return None
    except UnicodeEncodeError as error:
        raise _error(OSError, errno.EINVAL, f"{str(path)!r} cannot be the name of a file here.") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _error(
                OSError, errno.ENAMETOOLONG, f"{_shortened(path)} cannot be the name of a file: it is too long."
            ) from error
        raise named(path, error) from error


def _check_windows_name(path: Path) -> None:
    """Windows takes some names for devices, and some letters nowhere."""
    for part in path.parts[1:] if path.anchor else path.parts:
        reserved = Path(part).stem.rstrip(" ").upper() in _RESERVED
        if reserved or set(part) & set('<>:"|?*') or (part != part.rstrip(" .") and part not in (".", "..")):
            raise _error(OSError, errno.EINVAL, f"{path} cannot be the name of a file on Windows, because of {part!r}.")


_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{i}" for name in ("COM", "LPT") for i in range(1, 10))}


def _refuse_no_file(path: Path, found: os.stat_result) -> None:
    """An output replaces a regular file or nothing."""
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise FileExistsError(f"{path} is a folder, expected the name of a file to write.")
    kinds = {stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    target = f" to {os.readlink(path)}" if kind == "symbolic link" else ""
    raise FileExistsError(
        f"{path} is a {kind}{target}: nothing is written through or over one. Name a file of its own to write."
    )


def _check_above(path: Path, size: int) -> None:
    """Check that the nearest existing folder takes files of that size."""
    above = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not above.is_dir():
        what = "a link that leads to no folder" if above.is_symlink() else "a file, not a folder"
        raise NotADirectoryError(f"{path} cannot be written: {above} is {what}.")
    _check_length(path, above)
    try:
        # permissions alone do not say it: root may write anywhere, but not to a disk that is mounted read-only
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        text = f"{path} cannot be written: {above} takes no files ({error.strerror or error})."
        raise _error(type(error), error.errno, text) from error
    free = shutil.disk_usage(above).free
    if size > free:
        raise _error(
            OSError,
            errno.ENOSPC,
            f"{path} cannot be written: it needs about {_bytes(size)}, the disk of {above} has {_bytes(free)} free.",
        )


def _check_length(path: Path, above: Path) -> None:
    """Folders that do not exist yet are only looked at here."""
    if not hasattr(os, "pathconf"):
        return
    most = os.pathconf(above, "PC_NAME_MAX")
    for part in path.absolute().parts:
        if 0 < most < len(os.fsencode(part)):
            raise _error(
                OSError,
                errno.ENAMETOOLONG,
                f"{_shortened(path)} cannot be the name of a file: {_shortened(part)} is too long (over {most} bytes).",
            )


def named(path: Path, error: OSError) -> OSError:
    """Make an error of the system with the name of the file that could not be written; its kind stays."""
    return _error(type(error), error.errno, f"{path} could not be written ({error.strerror or error}).")


def _error(kind: type[OSError], number: int | None, text: str) -> OSError:
    """Make an error whose text is the text alone, without Python's `[Errno 28]` before it."""
    made = kind(text)
    made.errno = number
    return made


def _shortened(name: Path | str) -> str:
    text = str(name)
    return text if len(text) <= 80 else f"{text[:40]}...{text[-20:]}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
