"""Reading of image files for detectors; training, evaluation and prediction use the same functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vig_pyg.image_io import UnreadableImageError, plain_array, read_image, with_channels


def read_pixels(path: str | Path) -> Tensor:
    """Read an image file upright in color, uint8 `(3, H, W)`; transparent pixels are blended with white.

    Args:
        path: The file.

    Shapes: the result is `(3, H, W)`.

    Raises:
        UnreadableImageError: If the file cannot be read; the message is the reason without the file name.
        FileNotFoundError: If the file does not exist.
    """
    return as_pixels(read_image(path))


def as_pixels(image: Image.Image | np.ndarray) -> Tensor:
    """Convert a result of `read_image` to color, uint8 `(3, H, W)`.

    Raises:
        UnreadableImageError: If the image is an array with another number of channels than 3.

    Example:
        >>> from PIL import Image
        >>> as_pixels(Image.new("L", (40, 30))).shape
        torch.Size([3, 30, 40])
    """
    if not isinstance(image, np.ndarray):
        return v2.functional.pil_to_tensor(with_channels(image, 3))
    if image.ndim != 3 or image.shape[2] != 3:
        raise UnreadableImageError(f"its array has the shape {image.shape}, expected (height, width, 3)")
    array = plain_array(image)
    if array.dtype != np.uint8:
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))  # (H, W, 3) -> (3, H, W)
