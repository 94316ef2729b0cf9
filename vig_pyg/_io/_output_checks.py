"""Checks of the names of output files and folders, before the results are computed.

Outputs are never written through symbolic links, and never replace links, pipes or devices. This includes `/dev/stdout`
and `/dev/null`, because a stream cannot be replaced atomically.
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
    """Raise an `OSError` if a file with this name could not be written later.

    Args:
        size: Estimated size of the file in bytes, which is compared with the free disk space; 0 skips the comparison.

    Raises:
        FileExistsError: If the path is a folder, a link, a pipe or a device, or a file exists and `overwrite` is false.
        NotADirectoryError: If the parent folder is a file or a broken link.
        PermissionError: If the parent folder or the file to be replaced is write-protected.
        OSError: If the name is invalid, or the disk has too little space.

    Example:
        >>> check_free("a file in the current folder", size=100)
    """
    path = Path(path)
    found = _look(path)
    if found is not None:
        _refuse_no_file(path, found)
        if not overwrite:
            raise FileExistsError(
                f"{path} exists already and is not overwritten: choose another name, or pass --overwrite."
            )
        if not os.access(path, os.W_OK):
            raise PermissionError(f"{path} is write-protected and is not overwritten: choose another name.")
    _check_above(path, size)


def check_new_folder(path: str | Path, *, size: int = 0) -> None:
    """Raise an `OSError` if this folder could not be created and filled later.

    Args:
        size: Estimated size of its content in bytes, which is compared with the free disk space; 0 skips the
            comparison.

    Raises:
        FileExistsError: If the folder exists, even if it is empty, because results are never mixed with other files.
        NotADirectoryError: If a parent folder is a file or a broken link.
        PermissionError: If the folder cannot be created because of missing permissions.
        OSError: If the name is invalid, or the disk has too little space.

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
    """Raise a `ValueError` if an output file is also an input file, because `--overwrite` is only for earlier results.

    Args:
        outputs: The files to write; `None` entries are ignored.
        inputs: The files that are read; files that do not exist are ignored. They are compared only with existing
            outputs, and recognized under any name or link.

    Example:
        >>> check_no_input(["a file that is not there"], ["photo.jpg"])
    """
    there = {(found.st_dev, found.st_ino): path for path in outputs if path is not None and (found := _found(path))}
    if not there:
        return
    for path in inputs:
        found = _found(path)
        if found and (out := there.get((found.st_dev, found.st_ino))):
            raise ValueError(f"{out} would replace {path}, which is an input: choose another name for the result.")


def _found(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (OSError, ValueError):
        return None


def _look(path: Path) -> os.stat_result | None:
    """Return the status of a path without following links, or `None`; raise `OSError` for invalid names."""
    if "\0" in str(path):
        raise _error(OSError, errno.EINVAL, f"{str(path)!r} cannot be the name of a file: it contains a NUL character.")
    if os.name == "nt":
        _check_windows_name(path)
    try:
        return os.lstat(path)
    except NotADirectoryError:
        return None  # `_check_above` names the file that takes the place of a folder
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
    """Raise an error for names that are invalid on Windows, such as device names."""
    for part in path.parts[1:] if path.anchor else path.parts:
        reserved = Path(part).stem.rstrip(" ").upper() in _RESERVED
        if reserved or set(part) & set('<>:"|?*') or (part != part.rstrip(" .") and part not in (".", "..")):
            raise _error(OSError, errno.EINVAL, f"{path} cannot be the name of a file on Windows, because of {part!r}.")


_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{name}{i}" for name in ("COM", "LPT") for i in range(1, 10))}


def _refuse_no_file(path: Path, found: os.stat_result) -> None:
    """Raise an error if the path exists and is not a regular file."""
    mode = found.st_mode
    if stat.S_ISREG(mode):
        return
    if stat.S_ISDIR(mode):
        raise FileExistsError(f"{path} is a folder, expected the name of a file to write.")
    kinds = {stat.S_IFLNK: "symbolic link", stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket"}
    kind = kinds.get(stat.S_IFMT(mode), "device")
    target = f" to {os.readlink(path)}" if kind == "symbolic link" else ""
    raise FileExistsError(
        f"{path} is a {kind}{target}, and outputs are never written through or over one: choose another name."
    )


def _check_above(path: Path, size: int) -> None:
    """Check that a file of this size can be written in the nearest existing parent folder."""
    above = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not above.is_dir():
        what = "a link that does not lead to a folder" if above.is_symlink() else "a file, not a folder"
        raise NotADirectoryError(f"{path} cannot be written: {above} is {what}.")
    _check_length(path, above)
    try:
        # permissions are not sufficient: root may write anywhere, except on a disk that is mounted read-only
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        text = f"{path} cannot be written: no file can be created in {above} ({error.strerror or error})."
        raise _error(type(error), error.errno, text) from error
    free = shutil.disk_usage(above).free
    if size > free:
        raise _error(
            OSError,
            errno.ENOSPC,
            f"{path} cannot be written: it needs about {_bytes(size)}, but only {_bytes(free)} are free at {above}.",
        )


def _check_length(path: Path, above: Path) -> None:
    """Check the length of each part of a path; no other check does so for folders that do not exist yet."""
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
    """Return an operating system error of the same type, with the name of the file that could not be written."""
    return _error(type(error), error.errno, f"{path} could not be written ({error.strerror or error}).")


def _error(kind: type[OSError], number: int | None, text: str) -> OSError:
    """Return an error whose message has no prefix such as `[Errno 28]`."""
    made = kind(text)
    made.errno = number
    return made


def _shortened(name: Path | str) -> str:
    text = str(name)
    return text if len(text) <= 80 else f"{text[:40]}...{text[-20:]}"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"
