"""Images in memory, which are already converted or cropped."""

from __future__ import annotations

import numpy as np
from PIL import Image
from torch import Tensor

from vig_pyg.preprocess import DecodedImage, Preprocessing


class CroppedBefore:
    """The preprocessing of images that are already cropped."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        self.preprocessing = preprocessing

    def __call__(self, image: DecodedImage) -> Tensor:
        return self.preprocessing.tensor(self.preprocessing.convert(image))


def smaller(image: Image.Image | Tensor, side: int) -> Image.Image | Tensor:
    """Resize a converted image to a short side of at most `side` pixels; arrays are not changed."""
    if isinstance(image, Tensor) or min(image.size) <= side:
        return image
    ratio = side / min(image.size)
    width, height = (max(side, round(length * ratio)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def as_array(image: DecodedImage | Tensor) -> np.ndarray:
    """Return an image or a tensor `(C, H, W)` as an array `(H, W, C)` or `(H, W)`."""
    return image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) else np.asarray(image)
