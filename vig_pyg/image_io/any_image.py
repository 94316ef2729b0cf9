"""Conversion of a user's image, given as a file, PIL image, NumPy array or tensor."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from vig_pyg.image_io._limits import UnreadableImageError
from vig_pyg.image_io.read import read_image

#: A path, an image of PIL, an array `(H, W)` or `(H, W, C)`, or a tensor `(H, W)` or `(C, H, W)`.
AnyImage: TypeAlias = str | os.PathLike[str] | Image.Image | np.ndarray | Tensor


def as_image(image: AnyImage) -> Image.Image | np.ndarray:
    """Convert an image to the form that `read_image` returns.

    Args:
        image: A path; a PIL image; an array `(H, W)` or `(H, W, C)`; or a tensor `(H, W)` or `(C, H, W)` on any
            device. Arrays and tensors contain bytes, or floats from 0 to 1, before any normalization.

    Shapes: a tensor `(C, H, W)` to an array `(H, W, C)`.

    Raises:
        UnreadableImageError: If the image cannot be read, or its values are not pixels.
        FileNotFoundError: If the file does not exist.
        TypeError: If `image` has another type.

    Example:
        >>> import torch
        >>> as_image(torch.zeros(3, 4, 5)).shape
        (4, 5, 3)
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | os.PathLike):
        path = os.fspath(image)
        try:
            return read_image(path)
        except UnreadableImageError as error:
            raise UnreadableImageError(f"{path} cannot be read as an image: {str(error).rstrip('.')}.") from error
    if isinstance(image, Tensor):
        array = image.detach().cpu().numpy() if image.dtype.itemsize != 2 else image.detach().cpu().float().numpy()
        array = array.transpose(1, 2, 0) if array.ndim == 3 else array  # (C, H, W) -> (H, W, C)
    elif isinstance(image, np.ndarray):
        array = image
    else:
        raise TypeError(f"Expected a path, a PIL image, an array or a tensor, got {type(image).__name__}.")
    if array.ndim not in (2, 3) or min(array.shape) < 1:
        form = (
            "a tensor (channels, height, width)" if isinstance(image, Tensor) else "an array (height, width, channels)"
        )
        raise UnreadableImageError(f"Expected an image as {form}, got {tuple(image.shape)}.")
    if array.dtype.kind == "f" and not ((array >= -0.01).all() and (array <= 1.01).all()):
        low, high = float(array.min()), float(array.max())
        raise UnreadableImageError(
            f"An image of floats must have pixels from 0 to 1, got {low:g} to {high:g}: pass it before normalization."
        )
    return array


def as_list(images: Any) -> tuple[bool, list[Any]]:
    """Return whether there are several images (a list, or a tensor or array `(B, ...)`), and a list of them.

    Args:
        images: One image in any form that `as_image` accepts, or several.

    Shapes: a tensor or an array `(B, ...)` to B images.

    Example:
        >>> import torch
        >>> as_list("a.jpg"), as_list(torch.zeros(2, 3, 4, 4))[0]
        ((False, ['a.jpg']), True)
    """
    several = isinstance(images, list | tuple) or (isinstance(images, Tensor | np.ndarray) and images.ndim == 4)
    return several, list(images) if several else [images]
