"""The pixels of an image file as detectors take them: the same for training, evaluation and prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vig_pyg.image_io import UnreadableImageError, plain_array, read_image, with_channels


def read_pixels(path: str | Path) -> Tensor:
    """Read an image in color, upright, bytes `(3, H, W)`; transparent parts lie on white (see `read_image`).

    Raises:
        UnreadableImageError: If it cannot be read, with the reason alone.
        FileNotFoundError: If there is no such file.
    """
    return as_pixels(read_image(path))


def as_pixels(image: Image.Image | np.ndarray) -> Tensor:
    """Convert an image of `read_image` to color, bytes `(3, H, W)`.

    Raises:
        UnreadableImageError: If it is an array that has not three channels.
    """
    if not isinstance(image, np.ndarray):
        return v2.functional.pil_to_tensor(with_channels(image, 3))
    if image.ndim != 3 or image.shape[2] != 3:
        raise UnreadableImageError(f"its array has the shape {image.shape}, expected (height, width, 3)")
    array = plain_array(image)
    if array.dtype != np.uint8:
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))  # (H, W, 3) -> (3, H, W)
