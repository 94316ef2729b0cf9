"""From a picture to what a model takes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vig_pyg.image_io import MODES, UnreadableImageError, plain_array, with_channels

#: An image as `read_image` gives it: PIL's, or an array `(H, W, C)` or `(H, W)`, bytes or floats from 0 to 1, for any
#: number of channels.
Picture = Image.Image | np.ndarray


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Short side resized, center cropped, channels converted, scaled to [0, 1] and normalized.

    Args:
        image_size: Side of the square crop in pixels.
        in_channels: 3 for color, 1 for gray, 2 and 4 for them with opacity; any other number needs arrays (`.npy`).
        mean: Mean of the normalization, the same for every channel; 0.5 as published.
        std: Its standard deviation; 0.5 as published.
        crop_pct: The crop's side over the resized short side; 1 keeps all of a square picture, 0.9 is published at
            224 pixels (short side 248 before the crop), 0.95 for `pvig_base` (235).

    Raises:
        ValueError: If `in_channels` is below 1 or `crop_pct` not in (0, 1].

    Example:
        >>> Preprocessing(image_size=32)(Image.new("L", (40, 60))).shape
        torch.Size([3, 32, 32])
    """

    image_size: int
    in_channels: int = 3
    mean: float = 0.5
    std: float = 0.5
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        if self.in_channels < 1 or self.image_size < 1:
            raise ValueError(
                f"Need in_channels >= 1 and image_size >= 1, got {self.in_channels} and {self.image_size}."
            )
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct is the share of the short side that is kept, in (0, 1], got {self.crop_pct}.")

    @property
    def resize_size(self) -> int:
        """The short side before the crop in pixels, rounded down as published."""
        return math.floor(self.image_size / self.crop_pct + 1e-9)  # 252 / 0.9 is 280, whatever floats say

    def convert(self, picture: Picture) -> Image.Image | Tensor:
        """The image with `in_channels` channels; all that trains, predicts, evaluates or draws takes it from here.

        Where a model has no channel for the opacity, what is transparent lies on white (see `with_channels`). An array
        is never converted: its channels must be those of the model. Up to four channels of bytes become a PIL image,
        so that a file of NumPy gives the same pixels as an image file; other arrays become a tensor `(C, H, W)`.

        Raises:
            UnreadableImageError: If an array has other channels, or PIL knows no image of so many.
        """
        if not isinstance(picture, np.ndarray):
            if self.in_channels not in MODES:
                raise UnreadableImageError(
                    f"An image file has 1 to 4 channels; for in_channels={self.in_channels} use .npy arrays."
                )
            return with_channels(picture, self.in_channels)
        array = picture[..., None] if picture.ndim == 2 else picture
        if array.ndim != 3 or array.shape[2] != self.in_channels:
            raise UnreadableImageError(f"Expected an array (height, width, {self.in_channels}), got {picture.shape}.")
        array = plain_array(array)
        if array.dtype == np.uint8 and self.in_channels in MODES:
            return Image.fromarray(array[..., 0] if self.in_channels == 1 else array)
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))

    def crop(self, picture: Picture) -> Image.Image | Tensor:
        """Converted, resized and cropped: all that comes before numbers."""
        resized = v2.functional.resize(
            self.convert(picture), [self.resize_size], interpolation=v2.InterpolationMode.BICUBIC, antialias=True
        )
        cropped: Image.Image | Tensor = v2.functional.center_crop(resized, [self.image_size])
        return cropped

    def tensor(self, image: Image.Image | Tensor) -> Tensor:
        """A converted picture as a normalized tensor, without resizing."""
        scaled: Tensor = v2.functional.to_dtype(v2.functional.to_image(image), torch.float32, scale=True)
        return (scaled.as_subclass(Tensor) - self.mean) / self.std

    def restore(self, image: Tensor) -> Tensor:
        """The pixels in [0, 1] again, for drawing: gray or color, without opacity and further channels."""
        pixels = (image * self.std + self.mean).clamp(0, 1)
        return pixels[:3] if len(pixels) >= 3 else pixels[:1]

    def __call__(self, picture: Picture) -> Tensor:
        return self.tensor(self.crop(picture))
