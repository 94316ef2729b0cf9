"""Limits of the size of an image, so that an untrusted file needs bounded time and memory."""

from __future__ import annotations

#: Largest image that is decoded: half a gigabyte in memory. Pillow itself refuses twice its `MAX_IMAGE_PIXELS`.
MAX_PIXELS = 178_956_970
#: Longest side over the shortest: beyond it the resized image would be larger than memory.
MAX_RATIO = 100
#: Largest file, and largest array, in bytes: room for `MAX_PIXELS` of color in 16 bits.
MAX_BYTES = 6 * MAX_PIXELS


class UnreadableImageError(ValueError):
    """A file cannot be read as an image. The message is the reason; the caller adds the file name.

    Example:
        >>> print(f"some.jpg cannot be read: {UnreadableImageError('the file is empty')}.")
        some.jpg cannot be read: the file is empty.
    """


def check_size(width: int, height: int) -> None:
    """Raise an `UnreadableImageError` if an image is too large or too narrow, before it is decoded."""
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"{width} x {height} is larger than {MAX_PIXELS} pixels")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise UnreadableImageError(f"{width} x {height} pixels are too narrow (largest ratio {MAX_RATIO})")
