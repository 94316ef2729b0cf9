"""Reading of image files; every command and every data set uses this module."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from vig_pyg.image_io._files import IMAGE_FORMATS, NOT_AN_IMAGE
from vig_pyg.image_io._limits import MAX_BYTES, MAX_PIXELS, UnreadableImageError, check_size
from vig_pyg.image_io._orientation import TURNS, orientation
from vig_pyg.image_io._pillow_warnings import quiet_pillow
from vig_pyg.image_io._read_array import MAGIC, read_array
from vig_pyg.image_io.headers import check_headers
from vig_pyg.image_io.stored import StoredImage

#: TIFF tag that specifies whether 0 is white or black.
_WHITE_IS = 262

#: The modes of images from `read_image`, and their numbers of channels.
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def read_image(path: str | Path | StoredImage) -> Image.Image | np.ndarray:
    """Read an image file; its format is detected from the content, not from the file extension.

    An image file becomes a PIL image of mode `L`, `LA`, `RGB` or `RGBA`: upright, with 8 bits per channel, decoded
    and without metadata (see `normalize_image`). The first frame of an animation is read. A NumPy file (`.npy`) becomes
    an array `(H, W)` or `(H, W, C)` of uint8, or of float32 from 0 to 1.

    Args:
        path: The file. Symbolic links are followed; pipes, sockets and devices are not opened. The content of a
            `StoredImage` is read like a file, and has the same limits.

    Raises:
        UnreadableImageError: If the file is empty, truncated, not an image, too large, or in a format that is not in
            `IMAGE_FORMATS`. The message is the reason, without the file name.
        FileNotFoundError: If the file does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("1", (4, 3), 1).save(file.name)
        ...     read_image(file.name).mode
        'L'
    """
    with decoder_errors():
        content = path.content() if isinstance(path, StoredImage) else path
        if isinstance(content, np.ndarray):
            return _from_pixels(content)
        if isinstance(content, bytes):
            return _read(BytesIO(content), len(content))
        with open_file(content) as file:
            return _read(file, os.fstat(file.fileno()).st_size)


@contextmanager
def decoder_errors() -> Iterator[None]:
    """A context in which every error of a decoder becomes an `UnreadableImageError`."""
    try:
        yield
    except (UnreadableImageError, FileNotFoundError):
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError(NOT_AN_IMAGE) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"larger than {MAX_PIXELS} pixels") from error
    except MemoryError as error:
        raise UnreadableImageError("there is not enough memory to decode it") from error
    except OSError as error:
        if error.errno is None:  # unlike system errors, Pillow's errors have no errno
            raise UnreadableImageError(f"damaged or cut short ({error})") from error
        raise UnreadableImageError(f"it cannot be opened ({error.strerror})") from error
    except Exception as error:  # for damaged data, Pillow's decoders raise errors of many types
        raise UnreadableImageError(f"damaged or cut short ({error})") from error


def open_file(path: str | Path) -> BinaryIO:
    """Open the path if it is a regular file; opening a pipe would block, and opening a device can have side effects.

    Raises:
        UnreadableImageError, FileNotFoundError: As for `read_image`.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a name with a zero byte raises ValueError
        raise FileNotFoundError(f"There is no image at {path}.") from error
    if stat.S_ISDIR(mode):
        raise FileNotFoundError(f"There is no image at {path}: it is a folder.")
    if not stat.S_ISREG(mode):
        raise UnreadableImageError("it is a pipe, a socket or a device, not a file")
    # In case the file has become a pipe since `stat`.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, flags), "rb")


def _read(file: BinaryIO, size: int) -> Image.Image | np.ndarray:
    """Read an open file of `size` bytes."""
    if is_array_file(file, size):
        return read_array(file)
    check_headers(file, size)
    return _decode(file)


def is_array_file(file: BinaryIO, size: int) -> bool:
    """True if an open file of `size` bytes is a NumPy array; an empty or too large file raises an error."""
    if size == 0:
        raise UnreadableImageError("the file is empty")
    if size > MAX_BYTES:
        raise UnreadableImageError(f"the file is larger than {MAX_BYTES} bytes")
    found = file.read(len(MAGIC)) == MAGIC
    file.seek(0)
    return found


def _from_pixels(pixels: np.ndarray) -> Image.Image | np.ndarray:
    """Return gray and colored bytes as a PIL image, whose channels can be converted, and other arrays unchanged."""
    plain = pixels.dtype == np.uint8 and (pixels.ndim == 2 or pixels.shape[-1] in (3, 4))
    return normalize_image(Image.fromarray(pixels)) if plain else pixels


def _decode(file: BinaryIO) -> Image.Image:
    with quiet_pillow(), Image.open(file, formats=IMAGE_FORMATS) as image:
        check_size(*image.size)
        return normalize_image(image)


def stored_size(path: str | Path) -> tuple[tuple[int, int], int]:
    """Read the stored width and height of an image file, and its EXIF orientation (1 to 8).

    Only the header is read, unless the EXIF data follows the pixels. For TIFF the orientation is always 1, because
    Pillow applies it itself.

    Args:
        path: The file.

    Returns:
        The size (width, height) before the orientation is applied, and the orientation.

    Raises:
        UnreadableImageError: If the file is not a supported image, or is too large.
        FileNotFoundError: If the file does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("L", (4, 3)).save(file.name)
        ...     stored_size(file.name)
        ((4, 3), 1)
    """
    with decoder_errors(), open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if is_array_file(file, size):
            height, width = read_array(file).shape[:2]
            return (width, height), 1
        check_headers(file, size)
        late = _has_late_exif(file)
        file.seek(0)
        with quiet_pillow(), Image.open(file, formats=IMAGE_FORMATS) as image:
            check_size(*image.size)
            if late:
                image.load()
            stored = orientation(image.info)
            return image.size, stored if stored in TURNS else 1


def _has_late_exif(file: BinaryIO) -> bool:
    """True if a PNG file has EXIF data, or text that may contain it, after its pixels."""
    file.seek(0)
    if file.read(8) != b"\x89PNG\r\n\x1a\n":
        return False
    seen = False
    while len(head := file.read(8)) == 8:
        seen = seen or head[4:] == b"IDAT"
        if seen and head[4:] in (b"eXIf", b"tEXt", b"zTXt", b"iTXt"):
            return True
        file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def normalize_image(image: Image.Image) -> Image.Image:
    """Convert a PIL image of any mode to mode `L`, `LA`, `RGB` or `RGBA`: upright, with 8 bits per channel.

    The EXIF orientation is applied. Palettes are expanded, including their transparency. 16-bit gray is rounded to 8
    bits (65535 becomes 255). CMYK, YCbCr, LAB and HSV are converted to RGB, without color profiles.

    Args:
        image: The image, decoded or not.

    Raises:
        UnreadableImageError: If the image contains floating-point numbers, or integers of more than 16 bits.

    Example:
        >>> normalize_image(Image.new("CMYK", (4, 3))).mode
        'RGB'
    """
    # the file's raw modes are available only before the pixels are loaded
    raw = [tile[3][0] if isinstance(tile[3], tuple) else tile[3] for tile in getattr(image, "tile", [])]
    image.load()  # the EXIF data of a PNG can follow its pixels
    turn = TURNS.get(orientation(image.info))
    clear = _clear(image.info.get("transparency"), raw)
    out = (
        _from_16_bits(image, clear, 12 if "I;12" in raw else 16) if image.mode[0] == "I" else _eight_bits(image, clear)
    )
    if turn is not None:
        out = out.transpose(turn)
    elif out is image:
        if not image.info and type(image) is Image.Image:
            return image
        out = image.copy()
    out.info = {}
    return out


def _clear(value: Any, raw: list[Any]) -> Any:
    """Return the transparent value or color in 8 bits; for 16-bit gray it is not changed."""
    if isinstance(value, tuple) and "RGB;16B" in raw:
        return tuple(part >> 8 for part in value)
    scale = {"L;2": 85, "L;4": 17}.get(raw[0] if raw else "", 1)
    return value * scale if isinstance(value, int) else value


def _eight_bits(image: Image.Image, clear: Any) -> Image.Image:
    mode = image.mode
    if mode == "F":
        raise UnreadableImageError("it contains floating-point numbers, whose range is not known")
    if mode in ("LA", "RGBA"):
        return image
    if mode in ("La", "RGBa"):  # in these modes, colors are multiplied by alpha
        return image.convert("LA" if mode == "La" else "RGBA")
    if mode in ("P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode in ("1", "L") and isinstance(clear, int):
        gray = np.asarray(image.convert("L"))
        return _with_opacity(gray, gray != clear)
    if mode == "RGB" and isinstance(clear, tuple):
        color = np.asarray(image)
        return _with_opacity(color, (color != np.array(clear)).any(-1))
    wanted = "L" if mode in ("1", "L") else "RGB"
    return image if mode == wanted else image.convert(wanted)


def _from_16_bits(image: Image.Image, clear: Any, bits: int) -> Image.Image:
    """Convert 12-bit or 16-bit gray, which Pillow would clip at 255 in five modes; `clear` is the transparent value."""
    if image.mode == "I" and image.format == "TIFF":
        raise UnreadableImageError("its integers do not have 16 bits, so their range is not known")
    values, top = np.asarray(image).astype(np.int64), (1 << bits) - 1
    if values.min() < 0 or values.max() > top:
        raise UnreadableImageError(f"its integers are not of {bits} bits")
    gray = ((510 * values + top) // (2 * top)).astype(np.uint8)
    if getattr(image, "tag_v2", {}).get(_WHITE_IS) == 0:  # Pillow does not rotate these modes
        gray = 255 - gray
    return _with_opacity(gray, values != clear) if isinstance(clear, int) else Image.fromarray(gray)


def _with_opacity(pixels: np.ndarray, opaque: np.ndarray) -> Image.Image:
    """Create an image from pixels `(H, W)` or `(H, W, 3)`; it is transparent where `opaque` is false."""
    return Image.fromarray(np.dstack([pixels, np.where(opaque, 255, 0).astype(np.uint8)]))


def with_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert a PIL image to a number of channels: 1 gray, 2 gray and alpha, 3 color, 4 color and alpha.

    If the result has no alpha channel, transparent pixels are blended with white. If the image has no alpha channel,
    the result is opaque.

    Args:
        image: The image, of any mode.
        channels: Number of channels, from 1 to 4.

    Raises:
        ValueError: If `channels` is not from 1 to 4, or the image cannot be normalized (see `normalize_image`).

    Example:
        >>> with_channels(Image.new("RGBA", (1, 1)), 3).getpixel((0, 0))
        (255, 255, 255)
    """
    if channels not in MODES:
        raise ValueError(f"An image file has 1 to 4 channels; for in_channels={channels} use .npy arrays.")
    image = normalize_image(image)
    if channels in (1, 3) and image.mode in ("LA", "RGBA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image if image.mode == MODES[channels] else image.convert(MODES[channels])
