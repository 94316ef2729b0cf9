"""Preprocessing of an image for a model: resize, crop, conversion of channels, and normalization."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from vig_pyg._image_values import Statistic
from vig_pyg.image_io import MODES, UnreadableImageError, plain_array, with_channels

#: An image as `read_image` returns it: a PIL image, or an array `(H, W, C)` or `(H, W)` of bytes or of floats from 0 to
#: 1 with any number of channels.
DecodedImage = Image.Image | np.ndarray


def fit_statistic(value: Statistic, channels: int) -> Statistic:
    """Return a statistic for another number of channels; if it has other channels, the mean of its numbers is used.

    Args:
        value: The statistic.
        channels: Number of channels.

    Example:
        >>> fit_statistic((0.4, 0.5, 0.6), 3), fit_statistic((0.4, 0.5, 0.6), 1)
        ((0.4, 0.5, 0.6), 0.5)
    """
    if not isinstance(value, tuple) or len(value) == channels:
        return value
    return math.fsum(value) / len(value)


def each_channel(value: Statistic, channels: int) -> tuple[float, ...]:
    """Return a statistic as one number for each channel.

    Args:
        value: The statistic.
        channels: Number of channels.

    Example:
        >>> each_channel(0.5, 3), each_channel((0.4, 0.5, 0.6), 2)
        ((0.5, 0.5, 0.5), (0.5, 0.5))
    """
    fitting = fit_statistic(value, channels)
    return fitting if isinstance(fitting, tuple) else (fitting,) * channels


def of_channels(value: Statistic, image: Tensor) -> float | Tensor:
    """Return a statistic in a form that broadcasts with an image `(..., C, H, W)`.

    Args:
        value: The statistic.
        image: A float image.

    Shapes: one number, or `(C, 1, 1)`.

    Example:
        >>> of_channels((0.4, 0.5), torch.rand(2, 3, 4)).shape
        torch.Size([2, 1, 1])
    """
    return image.new_tensor(value)[:, None, None] if isinstance(value, tuple) else value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Converts an image into a normalized tensor.

    It converts the channels, resizes the short side, crops the center, scales to [0, 1], and normalizes.

    Args:
        image_size: Side length of the square crop in pixels.
        in_channels: Number of channels: 3 for color, 1 for gray, 4 and 2 for color and gray with alpha. Any other
            number requires arrays (`.npy`).
        mean: Mean of the normalization, one number for all channels or one for each. Published networks have 0.5,
            except MobileViG, GreedyViG and MobileViGv2, which have ImageNet's 0.485, 0.456 and 0.406.
        std: Standard deviation of the normalization, in the form of `mean`; 0.5, or ImageNet's 0.229, 0.224 and 0.225.
        crop_pct: Side length of the crop divided by the resized short side, in (0, 1]. With 1 a square image is not
            cropped. The published value is 0.9, which resizes the short side to 248 before a crop of 224; for
            `pvig_base` it is 0.95 (235).

    Shapes: an image of any size to `(in_channels, image_size, image_size)`.

    Raises:
        ValueError: If `in_channels` or `image_size` is below 1, `crop_pct` is not in (0, 1], `std` is not positive, or
            `mean` or `std` is not finite, or has numbers for another number of channels.

    Example:
        >>> Preprocessing(image_size=32)(Image.new("L", (40, 60))).shape
        torch.Size([3, 32, 32])
    """

    image_size: int
    in_channels: int = 3
    mean: Statistic = 0.5
    std: Statistic = 0.5
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        if self.in_channels < 1 or self.image_size < 1:
            raise ValueError(
                f"in_channels and image_size must be at least 1, got {self.in_channels} and {self.image_size}."
            )
        if not 0 < self.crop_pct <= 1:
            raise ValueError(f"crop_pct is the share of the short side that is kept, in (0, 1], got {self.crop_pct}.")
        for name in ("mean", "std"):
            value = getattr(self, name)
            numbers = tuple(value) if isinstance(value, (list, tuple)) else (value,)
            finite = all(_is_number(number) and (name == "mean" or number > 0) for number in numbers)
            if len(numbers) not in (1, self.in_channels) or not finite:
                kind = "positive number" if name == "std" else "number"
                got = repr(value) if len(numbers) <= 8 else f"{len(numbers)} numbers"
                raise ValueError(
                    f"{name} must be one {kind}, or one for each of the {self.in_channels} channels, got {got}."
                )
            object.__setattr__(self, name, numbers if isinstance(value, (list, tuple)) else value)  # lists from files

    @property
    def resize_size(self) -> int:
        """The resized short side before the crop, in pixels, rounded down as in the published code."""
        return math.floor(self.image_size / self.crop_pct + 1e-9)  # 1e-9 compensates the rounding of the division

    def convert(self, image: DecodedImage) -> Image.Image | Tensor:
        """Convert an image to `in_channels` channels; training, prediction, evaluation and drawing all use this method.

        If the model has no alpha channel, transparent pixels are blended with white (see `with_channels`). The channels
        of an array are not converted, so their number must be `in_channels`. An array of bytes with up to four channels
        becomes a PIL image, so that a NumPy file gives the same pixels as an image file. Other arrays become a tensor
        `(C, H, W)`.

        Args:
            image: A PIL image, or an array `(H, W, C)` or `(H, W)`.

        Raises:
            UnreadableImageError: If an array has another number of channels, or a PIL image is given and `in_channels`
                is above 4.
        """
        if not isinstance(image, np.ndarray):
            if self.in_channels not in MODES:
                raise UnreadableImageError(
                    f"An image file has 1 to 4 channels; for in_channels={self.in_channels} use .npy arrays."
                )
            return with_channels(image, self.in_channels)
        array = image[..., None] if image.ndim == 2 else image
        if array.ndim != 3 or array.shape[2] != self.in_channels:
            raise UnreadableImageError(f"Expected an array (height, width, {self.in_channels}), got {image.shape}.")
        array = plain_array(array)
        if array.dtype == np.uint8 and self.in_channels in MODES:
            return Image.fromarray(array[..., 0] if self.in_channels == 1 else array)
        return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))

    def crop(self, image: DecodedImage) -> Image.Image | Tensor:
        """Convert, resize and crop an image; the result is not normalized.

        Args:
            image: An image, as for `convert`.

        Shapes: an image of any size to `(in_channels, image_size, image_size)`.
        """
        resized = v2.functional.resize(
            self.convert(image), [self.resize_size], interpolation=v2.InterpolationMode.BICUBIC, antialias=True
        )
        cropped: Image.Image | Tensor = v2.functional.center_crop(resized, [self.image_size])
        return cropped

    def tensor(self, image: Image.Image | Tensor) -> Tensor:
        """Scale a converted image to [0, 1], and normalize it; it is not resized.

        Args:
            image: A converted image.

        Shapes: an image of H x W pixels to `(in_channels, H, W)`.
        """
        scaled: Tensor = v2.functional.to_dtype(v2.functional.to_image(image), torch.float32, scale=True)
        plain = scaled.as_subclass(Tensor)
        return (plain - of_channels(self.mean, plain)) / of_channels(self.std, plain)

    def restore(self, image: Tensor) -> Tensor:
        """Undo the normalization for drawing; the result has 1 or 3 channels in [0, 1], without alpha.

        Args:
            image: A normalized image `(in_channels, H, W)`.

        Shapes: `(in_channels, H, W)` to `(1 or 3, H, W)`.
        """
        pixels = (image * of_channels(self.std, image) + of_channels(self.mean, image)).clamp(0, 1)
        return pixels[:3] if len(pixels) >= 3 else pixels[:1]

    def adapted(self, *, image_size: int, in_channels: int) -> Preprocessing:
        """Return the preprocessing for another size and another number of channels.

        Args:
            image_size: Side length of the crop in pixels.
            in_channels: Number of channels.
        """
        mean, std = (fit_statistic(value, in_channels) for value in (self.mean, self.std))
        return replace(self, image_size=image_size, in_channels=in_channels, mean=mean, std=std)

    def __call__(self, image: DecodedImage) -> Tensor:
        return self.tensor(self.crop(image))
