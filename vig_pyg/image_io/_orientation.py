"""The orientation in the EXIF data of an image, by which the image is rotated upright."""

from __future__ import annotations

import re
from typing import Any

from PIL import Image

_TAG = 0x0112
#: The operation that makes an image of each EXIF orientation upright; orientation 1 is already upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(info: dict[Any, Any]) -> int:
    """Return the EXIF orientation (1 to 8) from the `info` of a PIL image, or 1 if it is missing or damaged.

    Pillow would load all EXIF tags, which can take gigabytes of memory even for a small file.
    """
    exif, profile = info.get("exif"), info.get("Raw profile type exif")
    if exif is None and isinstance(profile, str):  # the form in which ImageMagick stores EXIF in a PNG
        try:
            exif = bytes.fromhex("".join(profile.split("\n")[3:]))
        except ValueError:
            exif = None
    if isinstance(exif, bytes):
        return _first_tag(exif.removeprefix(b"Exif\0\0"), _TAG) or 1
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
    found = re.search(rb"tiff:Orientation(?:=\"|>)([1-8])", xmp if isinstance(xmp, bytes) else str(xmp).encode())
    return int(found[1]) if found else 1


def _first_tag(tiff: bytes, tag: int) -> int | None:
    """Return a 16-bit integer tag of the first directory of TIFF data."""
    order: Any = {b"II": "little", b"MM": "big"}.get(tiff[:2])
    if order is None:
        return None
    start = int.from_bytes(tiff[4:8], order)
    count = int.from_bytes(tiff[start : start + 2], order)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        if int.from_bytes(tiff[entry : entry + 2], order) == tag:
            width = {1: 1, 3: 2, 4: 4}.get(int.from_bytes(tiff[entry + 2 : entry + 4], order), 2)
            return int.from_bytes(tiff[entry + 8 : entry + 8 + width], order)
    return None
