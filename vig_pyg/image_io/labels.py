"""Reading of label maps: images whose pixels are numbers of classes, not colors."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from vig_pyg.image_io._files import IMAGE_FORMATS
from vig_pyg.image_io._limits import UnreadableImageError, check_size
from vig_pyg.image_io._orientation import TURNS, orientation
from vig_pyg.image_io._pillow_warnings import quiet_pillow
from vig_pyg.image_io.headers import check_headers
from vig_pyg.image_io.read import decoder_errors, is_array_file, open_file

#: Formats that are lossy, or can be: the pixels between two classes would get the number of a third.
LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000", "AVIF")
#: Modes of one number for each pixel.
_ONE = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")


def read_labels(path: str | Path, *, color: bool = False) -> np.ndarray:
    """Read the label of each pixel from a label map; in an image with a palette, the labels are the palette indices.

    The file passes the checks of `read_image`, and an EXIF orientation of its own is applied.

    Args:
        path: The file, in a lossless format such as PNG.
        color: If true, the file must be in color, and the three bytes of each pixel are returned.

    Returns:
        Labels `(H, W)` of uint8 or int32, or bytes `(H, W, 3)` if `color` is true.

    Raises:
        UnreadableImageError: If the file cannot be read, is in a lossy format, or does not have one label (or three
            bytes) for each pixel. The message is the reason, without the file name.
        FileNotFoundError: If the file does not exist.

    Example:
        >>> import tempfile
        >>> mask = Image.new("P", (4, 3), 7)
        >>> mask.putpalette([10, 20, 30] * 256)
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     mask.save(file.name)
        ...     read_labels(file.name)[0].tolist()
        [7, 7, 7, 7]
    """
    with decoder_errors(), open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if is_array_file(file, size):
            raise UnreadableImageError("it is a NumPy array, expected an image of labels: save it as PNG")
        check_headers(file, size)
        with quiet_pillow(), Image.open(file, formats=IMAGE_FORMATS) as image:
            check_size(*image.size)
            return _numbers(image, color)


def _numbers(image: Image.Image, color: bool) -> np.ndarray:
    if image.format in LOSSY:
        raise UnreadableImageError(
            f"it is in the format {image.format}, which blurs the borders of classes into other classes: "
            "save label maps as PNG"
        )
    image.load()
    mode, turn = image.mode, TURNS.get(orientation(image.info))
    if color and mode not in ("RGB", "RGBA"):
        raise UnreadableImageError(
            f"it is not in color (its mode is {mode}), expected label numbers in three bytes per pixel"
        )
    if not color and mode not in _ONE:
        raise UnreadableImageError(
            f"it is in color without a palette (its mode is {mode}), so its colors name no classes: "
            "save one byte, or an index into a palette, for each pixel"
        )
    if turn is not None:
        image = image.transpose(turn)
    if color:
        return np.asarray(image)[..., :3]
    array = np.asarray(image)
    return array.astype(np.uint8) if array.dtype in (np.bool_, np.uint8) else array.astype(np.int32)
