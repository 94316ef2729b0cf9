"""From a picture to what a model takes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Short side resized, centre cropped, channels converted, scaled to [0, 1] and normalised.

    Args:
        image_size: Side of the square crop in pixels.
        in_channels: 3 for colour, 1 for grey.
        mean: Mean of the normalisation, the same for every channel; 0.5 as published.
        std: Its standard deviation; 0.5 as published.

    Raises:
        ValueError: If `in_channels` is neither 1 nor 3.

    Example:
        >>> Preprocessing(image_size=32)(Image.new("L", (40, 60))).shape
        torch.Size([3, 32, 32])
    """

    image_size: int
    in_channels: int = 3
    mean: float = 0.5
    std: float = 0.5

    def __post_init__(self) -> None:
        if self.in_channels not in (1, 3):
            raise ValueError(f"Pictures have 1 or 3 channels, got in_channels={self.in_channels}.")

    def convert(self, image: Image.Image) -> Image.Image:
        """The picture in grey or in colour."""
        return image.convert("L" if self.in_channels == 1 else "RGB")

    def tensor(self, image: Image.Image) -> Tensor:
        """A converted picture as a normalised tensor, without resizing."""
        scaled: Tensor = v2.functional.to_dtype(v2.functional.to_image(image), torch.float32, scale=True)
        return (scaled - self.mean) / self.std

    def restore(self, image: Tensor) -> Tensor:
        """The pixels in [0, 1] again, for drawing."""
        return (image * self.std + self.mean).clamp(0, 1)

    def __call__(self, image: Image.Image) -> Tensor:
        resized = v2.functional.resize(
            self.convert(image), [self.image_size], interpolation=v2.InterpolationMode.BICUBIC, antialias=True
        )
        return self.tensor(v2.functional.center_crop(resized, [self.image_size]))
