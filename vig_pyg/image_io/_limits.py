"""Limits of the size of an image, which bound the time and memory for an untrusted file."""

from __future__ import annotations

#: Largest number of pixels that is decoded, half a gigabyte in memory. Pillow itself raises an error above twice its
#: `MAX_IMAGE_PIXELS`.
MAX_PIXELS = 178_956_970
#: Largest ratio of the sides of an image; beyond it, the resized image would exceed the memory.
MAX_RATIO = 100
#: Largest file, and largest array, in bytes; this is enough for `MAX_PIXELS` pixels of 16-bit color.
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
