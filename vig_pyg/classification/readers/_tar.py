"""Reading of the names and positions of files in an untrusted tar archive, in bounded memory.

`tarfile` parses only single headers. It does not iterate over the archive, because it would read headers of any length
into memory, loop forever on negative sizes, keep all members, and mistake a damaged header for the end.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

_BLOCK = tarfile.BLOCKSIZE
#: Largest header with long names, in bytes.
_LONGEST = 1 << 16
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_EXTENDED = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_RECORD = re.compile(rb"([1-9][0-9]{0,6}) ")


class DamagedTarError(ValueError):
    """An archive cannot be read further; the message is the reason, without the name of the file."""


class Member(NamedTuple):
    """A file in an archive.

    Args:
        fault: The reason why the file must not be used, or `""`.
    """

    name: str
    offset: int
    size: int
    fault: str


def members(path: str | Path) -> Iterator[Member]:
    """Yield the files of an archive in order; folders are omitted.

    Raises:
        DamagedTarError: If the archive is damaged or cut short; the files before the damage have been yielded.
        OSError: If the archive cannot be opened.
    """
    with open(path, "rb") as file:
        end, place = os.fstat(file.fileno()).st_size, 0
        given: dict[str, str] = {}
        while True:
            file.seek(place)
            block = file.read(_BLOCK)
            if not block.strip(b"\0") and len(block) == _BLOCK:
                return
            if len(block) < _BLOCK:
                raise DamagedTarError("it is cut short: its end is missing")
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except (tarfile.HeaderError, ValueError) as error:
                raise DamagedTarError(f"the header at byte {place} is damaged ({error})") from error
            extension = info.type in _EXTENDED or info.type in _LONG_NAMES
            size = info.size if extension else int(given.get("size", info.size))
            if not info.isreg() and info.type in tarfile.SUPPORTED_TYPES and not extension:
                size = 0  # folders, links and devices have no content
            place += _BLOCK
            if not 0 <= size <= end - place:
                raise DamagedTarError(f"it is cut short: a file has {size} bytes, but {end - place} follow its header")
            if extension:
                given |= _extension(file, info, size)
            else:
                if info.type != tarfile.DIRTYPE:
                    yield _member(given.get("path", info.name), place, size, info.type, given)
                given = {}
            place += -(-size // _BLOCK) * _BLOCK


def _member(name: str, place: int, size: int, kind: bytes, given: dict[str, str]) -> Member:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    fault = ""
    if kind not in _FILES or any(key.startswith("GNU.sparse") for key in given):
        fault = "it is a link, a device or a sparse file"
    elif ".." in parts or (parts and (parts[0] == "/" or re.fullmatch("[A-Za-z]:", parts[0]))):
        fault = "its name leaves the archive"
    return Member(name, place, size, fault)


def _extension(file: BinaryIO, info: tarfile.TarInfo, size: int) -> dict[str, str]:
    """Return the name and the size that an extended header specifies for the next file."""
    if size > _LONGEST:
        raise DamagedTarError(f"a header has {size} bytes, expected at most {_LONGEST}")
    content = file.read(size)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": content.partition(b"\0")[0].decode("utf-8", "surrogateescape")}
    if info.type not in _EXTENDED or info.type == tarfile.XGLTYPE:  # global headers are not needed
        return {}
    found: dict[str, str] = {}
    place = 0
    while place < len(content) and content[place]:  # some programs fill the block with zeros
        head = _RECORD.match(content, place, place + 9)
        length = int(head[1]) if head else 0
        if head is None or not head.end() - place < length <= len(content) - place:
            raise DamagedTarError("a header of names and sizes is damaged")
        key, equals, value = content[head.end() : place + length - 1].partition(b"=")
        name = key.decode("utf-8", "replace")
        if name == "size" and not re.fullmatch(rb"[0-9]{1,18}", value):
            raise DamagedTarError("a header has a size that is not a number")
        if equals and (name in ("path", "size") or name.startswith("GNU.sparse")):
            found[name] = value.decode("utf-8", "surrogateescape")
        place += length
    return found
