"""The note that images differ plainly from those on which a classifier was trained, so that little can be expected."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.text import terminal_text

if TYPE_CHECKING:
    from vig_pyg.preprocess import DecodedImage, Preprocessing

#: Largest size of a model, in pixels, for which large images are noted; larger models are made for photos.
SMALL = 64
#: Number of times that both sides of a large image are longer than those of the model.
TIMES = 8
#: Number of images that are read at most.
_MOST = 10
#: Smallest difference between the channels of a pixel that is a color, of 255; JPEG files of gray images have less.
_COLOR = 24


def note_unlike(look: Preprocessing, paths: Iterable[str | Path]) -> None:
    """Print a note if one of the first images is plainly of another kind; nothing is read for usual models.

    Args:
        look: The preprocessing of the model, which has the size and the channels of its training images.
        paths: The images.
    """
    from vig_pyg.image_io import UnreadableImageError, read_image

    if look.in_channels > 2 and look.image_size > SMALL:
        return
    for path in list(paths)[:_MOST]:
        try:
            image = read_image(path)
        except (UnreadableImageError, OSError):  # told with all others
            continue
        if what := unlike(look, image):
            kind = " gray" if look.in_channels < 3 else ""
            print(
                f"vig-pyg: note: the model was trained on {look.image_size} x {look.image_size}{kind} images, and "
                f"{terminal_text(path)} {what}: expect little",
                file=sys.stderr,
            )
            return


def unlike(look: Preprocessing, image: DecodedImage) -> str:
    """Return in what an image differs plainly from the training images, as the rest of a sentence, or `""`.

    Args:
        look: The preprocessing of the model.
        image: The image.

    Example:
        >>> from PIL import Image
        >>> from vig_pyg.preprocess import Preprocessing
        >>> unlike(Preprocessing(image_size=16, in_channels=1), Image.new("RGB", (500, 375), "red"))
        'has 500 x 375 pixels in color'
    """
    import numpy as np

    pixels = np.asarray(image)
    height, width = pixels.shape[:2]
    large = look.image_size <= SMALL and min(height, width) > TIMES * look.image_size
    color = False
    if look.in_channels < 3 and pixels.ndim == 3 and pixels.shape[2] in (3, 4) and pixels.dtype == np.uint8:
        few = pixels[:: 1 + height // 256, :: 1 + width // 256, :3]
        color = bool((few.max(2) - few.min(2) >= _COLOR).mean() > 0.01)
    if not large and not color:
        return ""
    return f"has {width} x {height} pixels{' in color' if color else ''}"
