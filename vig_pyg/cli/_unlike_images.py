"""The note that images differ plainly from those of a classifier, as far as the folder of its run records the data."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.numbers import percent
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import say_note
from vig_pyg.cli._training_data import values_of

if TYPE_CHECKING:
    import numpy as np

    from vig_pyg.preprocess import DecodedImage, Preprocessing

#: Built-in data, whose images are known: the longest side of one in pixels, and whether it has color. The images of
#: other data may have any size, whatever the size of the model is.
_KNOWN = {"digits": (8, False), "cifar10": (32, True), "cifar100": (32, True)}
#: Number of times that both sides of a large image are longer than those of the model and of the known images.
TIMES = 8
#: Number of images that are read at most.
_MOST = 10
#: Smallest difference between the channels of a pixel that is a color, of 255; JPEG files of gray images have less.
_COLOR = 24
#: From this ratio of the sides on, a square in the middle is a small part of an image.
_LONG = 3


def note_unlike(model: str, look: Preprocessing, paths: Iterable[str | Path]) -> None:
    """Print a note if one of the first images is plainly of another kind; nothing is read for usual models."""
    from vig_pyg.image_io import UnreadableImageError, read_image

    data = values_of(model).get("data")
    data = data if isinstance(data, str) and data in _KNOWN else ""
    if look.in_channels > 2 and not data:
        return
    for path in list(paths)[:_MOST]:
        try:
            image = read_image(path)
        except (UnreadableImageError, OSError):  # told with all others
            continue
        if said := unlike(look, data, image, terminal_text(path)):
            say_note(said)
            return


def note_cropped(look: Preprocessing, paths: Iterable[str | Path]) -> None:
    """Print a note if the square that a classifier sees leaves out most of one of the first images."""
    from vig_pyg.detection.turns import turned_size
    from vig_pyg.image_io import UnreadableImageError, stored_size

    for path in list(paths)[:_MOST]:
        try:
            width, height = turned_size(*stored_size(path))
        except (UnreadableImageError, OSError):  # told with all others
            continue
        if max(width, height) >= _LONG * min(width, height):
            share = percent(look.crop_pct**2 * min(width, height) / max(width, height))
            say_note(
                f"{terminal_text(path)} has {width} x {height} pixels: the model sees only the square in its middle, "
                f"{share.strip()} of it"
            )
            return


def unlike(look: Preprocessing, data: str, image: DecodedImage, name: str) -> str:
    """Return in what an image differs plainly from those of the training, as a sentence, or `""`.

    Args:
        data: Name of the built-in data on which the model was trained, or `""` for data whose images are not known.

    Example:
        >>> from PIL import Image
        >>> from vig_pyg.preprocess import Preprocessing
        >>> unlike(Preprocessing(image_size=16, in_channels=1), "", Image.new("RGB", (500, 375), "red"), "a.png")
        'the model expects gray images, and a.png is in color: it is converted to gray'
    """
    import numpy as np

    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    side, known_color = _KNOWN.get(data, (0, True))
    large = side > 0 and min(height, width) > TIMES * max(side, look.image_size)
    colored = look.in_channels < 3 and _has_color(pixels)
    if large or (colored and not known_color):
        size = f"{look.image_size} x {look.image_size}"
        return (
            f"the model was trained on {data}, {'color' if known_color else 'gray'} images of {size} pixels, "
            f"and {name} has {width} x {height} pixels{' in color' if colored else ''}: the result is probably useless"
        )
    return f"the model expects gray images, and {name} is in color: it is converted to gray" if colored else ""


def _has_color(pixels: np.ndarray) -> bool:
    """True if more than a few pixels of an image have a color."""
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype.name != "uint8":
        return False
    height, width = pixels.shape[:2]
    few = pixels[:: 1 + height // 256, :: 1 + width // 256, :3]
    return bool((few.max(2) - few.min(2) >= _COLOR).mean() > 0.01)
