"""Conversion of an image into the input of a segmentation network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor
from torchvision.transforms import v2

from vig_pyg._image_values import SIDE_LIMIT, Statistic, check_mean, check_std
from vig_pyg._io.dataclass_schema import check_fields, checks_of
from vig_pyg._io.schema import mapping, whole
from vig_pyg.detection.pixels import as_pixels
from vig_pyg.preprocess import DecodedImage, of_channels

Size = tuple[int, int]
#: Longest side of a resized image divided by its short side.
_LONGEST = 4


@dataclass(frozen=True, kw_only=True)
class SegmentationPreprocessing:
    """Converts an image into a normalized tensor, at its own size or with a given short side; nothing is cropped.

    Args:
        image_size: Length in pixels to which the short side is resized, such as 512 for ADE20K; `None` keeps the size.
            A very long image is resized to a long side of four times this length instead.
        mean: Mean of the normalization for pixels in [0, 1]: one number, or one for each color (see `Preprocessing`).
        std: Standard deviation of the normalization: one number, or one for each color.

    Shapes: an image of any size to `(3, H, W)`.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> from PIL import Image
        >>> SegmentationPreprocessing(image_size=32)(Image.new("L", (40, 60))).shape
        torch.Size([3, 48, 32])
    """

    image_size: Annotated[int, whole(1, SIDE_LIMIT // _LONGEST)] | None = None
    mean: Annotated[Statistic, check_mean] = 0.5
    std: Annotated[Statistic, check_std] = 0.5

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, (list, tuple)):
                if len(value) != 3:
                    got = tuple(value) if len(value) <= 8 else f"{len(value)} numbers"
                    raise ValueError(f"{name} must be one number, or one for each of the 3 colors, got {got}.")
                object.__setattr__(self, name, tuple(value))  # a list comes from a file

    def size_of(self, height: int, width: int) -> Size:
        """Return the height and width of the input for an image of this height and width.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        if self.image_size is None:
            return height, width
        scale = min(self.image_size / min(height, width), _LONGEST * self.image_size / max(height, width))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def normalize(self, pixels: Tensor) -> Tensor:
        """Normalize pixels `(..., C, H, W)` of uint8; they are not resized.

        Args:
            pixels: The pixels.

        Shapes: `(..., C, H, W)` to `(..., C, H, W)`.
        """
        scaled = pixels.float() / 255
        return (scaled - of_channels(self.mean, scaled)) / of_channels(self.std, scaled)

    def restore(self, image: Tensor) -> Tensor:
        """Undo the normalization for drawing.

        Args:
            image: A normalized image `(3, H, W)`.

        Shapes: `(3, H, W)` to `(3, H, W)` with values in [0, 1].
        """
        return (image * of_channels(self.std, image) + of_channels(self.mean, image)).clamp(0, 1)

    def of_pixels(self, pixels: Tensor) -> Tensor:
        """Resize and normalize pixels `(3, H, W)` of uint8.

        Args:
            pixels: The pixels.

        Shapes: `(3, H, W)` to `(3, H', W')`, the size of `size_of`.
        """
        size = self.size_of(pixels.size(-2), pixels.size(-1))
        if size != tuple(pixels.shape[-2:]):
            pixels = v2.functional.resize_image(pixels, list(size), antialias=True)
        return self.normalize(pixels)

    def __call__(self, image: DecodedImage) -> Tensor:
        return self.of_pixels(as_pixels(image))


def read_preprocessing(value: Any, where: str) -> SegmentationPreprocessing:
    """Return the preprocessing that an entry of `config.json` describes.

    Example:
        >>> read_preprocessing({"image_size": None}, "config.json: preprocessing").mean
        0.5
    """
    return SegmentationPreprocessing(**mapping(checks_of(SegmentationPreprocessing))(value, where))
