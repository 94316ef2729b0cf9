"""Checks of file headers before Pillow opens the file, because a small file can make Pillow use much time and memory.

Pillow reads all tags of a TIFF directory; EXIF data is also such a directory. A file of a megabyte can hold 65,535 tags
that all point to the same megabyte. Progressive JPEG files can have thousands of passes over all pixels. Comments in
GIF files can take quadratic time. PNG files can have millions of chunks.
"""

from __future__ import annotations

import re
from io import BytesIO
from typing import Any, BinaryIO

from vig_pyg.image_io._files import NOT_AN_IMAGE
from vig_pyg.image_io._limits import MAX_PIXELS, UnreadableImageError

#: Number of bytes by which the tags of a directory may exceed twice the size of the file.
_SLACK = 1 << 20
#: Largest number of values of a tag, because Pillow converts them to Python numbers. The largest image has fewer tiles.
_MOST_NUMBERS = 4 << 20
#: Size in bytes of each TIFF type, and the types whose values are not converted to numbers.
_UNITS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_BYTES = (1, 2, 7)
#: Tags that point to other directories: EXIF, GPS and interoperability.
_POINTERS = (34665, 34853, 40965)
#: Largest number of segments, and of bytes of EXIF data, before the pixels of a JPEG file.
_MOST_SEGMENTS, _MOST_EXIF = 10_000, 1 << 24
#: Smallest number of bytes of a pass over the pixels of a JPEG file.
_PASS = 10
#: Largest number of bytes of comments and other extensions before the pixels of a GIF file.
_MOST_EXTENSIONS = 1 << 20
#: Largest number of chunks of a PNG file; a chunk has at least 12 bytes.
_MOST_CHUNKS = 1 << 20
_TIFF = re.compile(rb"II[*+]\0|MM\0[*+]")
#: Other file types that often have an image extension, by their first bytes, with advice.
_OTHERS = (
    (re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1.{4,24}hei[cx])", re.S), "it is HEIC: convert it to JPEG or PNG"),
    (re.compile(rb"%PDF-"), "it is a PDF file: convert it to JPEG or PNG"),
    (re.compile(rb"(<\?xml[^>]*>\s*)?<svg", re.I), "it is an SVG drawing: convert it to PNG"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype )?html", re.I), "it is a web page: download the image again"),
    (re.compile(rb"version https://git-lfs"), "it is a Git LFS pointer: download the image with `git lfs pull`"),
)


def check_headers(file: BinaryIO, size: int) -> None:
    """Raise an `UnreadableImageError` if a file would take more time or memory than its size allows.

    The error is also raised for a well-known file type that has the name of an image.

    Args:
        file: The open file; it is left at its start.

    Example:
        >>> import io
        >>> check_headers(io.BytesIO(b"no known type"), 13)
    """
    file.seek(0)
    start = file.read(64)
    file.seek(0)
    for first, what in _OTHERS:
        if first.match(start):
            raise UnreadableImageError(f"{NOT_AN_IMAGE}: {what}")
    if start.startswith(b"\xff\xd8"):
        _check_jpeg(file, size)
    elif start.startswith((b"GIF87a", b"GIF89a")):
        _check_gif(file)
    elif _TIFF.match(start):
        _check_directories(file, size)
    elif start[4:8] == b"ftyp":
        content = file.read()
        for found in list(_TIFF.finditer(content))[:64]:
            _check_directories(BytesIO(content[found.start() :]), size)
    elif start.startswith(b"\x89PNG") and size > 12 * _MOST_CHUNKS:
        _check_png(file, size)
    file.seek(0)


def _read_at(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _check_directories(file: BinaryIO, size: int) -> None:
    """Check the first directory of TIFF data, and the directories to which it points."""
    head = _read_at(file, 0, 16)
    order: Any = "little" if head[:2] == b"II" else "big"
    big = b"+" in head[2:4]
    waiting = [int.from_bytes(head[8:16] if big else head[4:8], order)]
    seen: set[int] = set()
    total = 0
    while waiting:
        place = waiting.pop()
        if place in seen or not 0 < place < size:
            continue
        seen.add(place)
        for tag, kind, count, value in _entries(file, place, order, big):
            length = count * _UNITS.get(kind, 0)
            total += min(length, size) if length > len(value) else 0
            if kind not in _BYTES and length and count > _MOST_NUMBERS:
                raise UnreadableImageError(f"its tag {tag} has {count} numbers, more than any image needs")
            if total > 2 * size + _SLACK:
                raise UnreadableImageError("its tags overlap, which would take many times the memory of the file")
            if tag in _POINTERS:
                waiting.append(int.from_bytes(value, order))


def _entries(file: BinaryIO, place: int, order: Any, big: bool) -> list[tuple[int, int, int, bytes]]:
    """Return the tag, type, count and value (or its offset) of each entry of a directory."""
    head, width = (8, 20) if big else (2, 12)
    entries = min(int.from_bytes(_read_at(file, place, head), order), 1 << 16)
    data = _read_at(file, place + head, width * entries)
    found = []
    for start in range(0, len(data) - width + 1, width):
        entry = data[start : start + width]
        tag, kind = (int.from_bytes(entry[i : i + 2], order) for i in (0, 2))
        middle = 12 if big else 8
        found.append((tag, kind, int.from_bytes(entry[4:middle], order), entry[middle:]))
    return found


def _check_jpeg(file: BinaryIO, size: int) -> None:
    exif, pixels = b"", 0
    file.seek(2)
    for _ in range(_MOST_SEGMENTS):
        marker = file.read(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            return  # Pillow raises an error for such a file
        if marker[1] == 0xFF:
            file.seek(-1, 1)
            continue
        if marker[1] in (0x01, 0xD9, *range(0xD0, 0xD8)):
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        content = file.read(max(0, length))
        if marker[1] == 0xDA:
            break
        if marker[1] == 0xE1 and content.startswith(b"Exif\0\0"):
            exif += content[6:]  # Pillow joins several EXIF segments
            if len(exif) > _MOST_EXIF:
                raise UnreadableImageError(f"it has more than {_MOST_EXIF} bytes of EXIF data")
        elif marker[1] == 0xE2 and content.startswith(b"MPF\0"):
            _check_directories(BytesIO(content[4:]), len(content))
        elif 0xC0 <= marker[1] <= 0xCF and marker[1] not in (0xC4, 0xC8, 0xCC):
            pixels = int.from_bytes(content[1:3], "big") * int.from_bytes(content[3:5], "big")
    else:
        raise UnreadableImageError(f"it has more than {_MOST_SEGMENTS} segments before its pixels")
    _check_directories(BytesIO(exif), len(exif))
    passes, last = 1, b""
    if size // _PASS * pixels <= 100 * MAX_PIXELS:
        return
    while block := file.read(1 << 20):
        passes += (last + block).count(b"\xff\xda")
        last = block[-1:]
        if passes * pixels > 100 * MAX_PIXELS:
            raise UnreadableImageError(f"it has too many passes over its {pixels} pixels")


def _check_gif(file: BinaryIO) -> None:
    packed = file.read(13)[10:11]
    if packed and packed[0] & 0x80:
        file.seek(3 << ((packed[0] & 7) + 1), 1)
    total = 0
    while file.read(1) == b"!":
        file.seek(1, 1)
        while (length := file.read(1)) not in (b"", b"\0"):
            total += length[0]
            if total > _MOST_EXTENSIONS:
                raise UnreadableImageError(f"it has more than {_MOST_EXTENSIONS} bytes of comments before its pixels")
            file.seek(length[0], 1)


def _check_png(file: BinaryIO, size: int) -> None:
    place = 8
    for _ in range(_MOST_CHUNKS):
        if place >= size:
            return
        file.seek(place)
        place += 12 + int.from_bytes(file.read(4), "big")
    raise UnreadableImageError(f"it has more than {_MOST_CHUNKS} chunks")
