"""From a picture to a training image: random crops, flips, colors, as timm makes them."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn
from torchvision.transforms import v2

from vig_pyg.classification.color_ops import color_transform
from vig_pyg.preprocess import Picture, Preprocessing


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What happens to a picture in training, in this order.

    Args:
        affine: Turned by up to 10 degrees, moved and scaled by up to a tenth; for scans of signs.
        crop: A random crop of at least this share of the area, resized; `None` resizes and crops as the preprocessing
            does. 0.08 is published for ImageNet; small data sets bear less.
        flip: Probability of a left-right flip; 0 where left and right matter.
        color_jitter: Largest change of brightness, contrast and saturation; 0.4 is published, but timm leaves it out
            where there is `randaugment`.
        randaugment: RandAugment in timm's words, such as the published `"rand-m9-mstd0.5-inc1"`; `None` is off.
        erasing: Probability that a random box is overwritten by noise; 0.25 is published.

    Raises:
        ValueError: If a share or probability is not in its range.

    Example:
        >>> make = Augmentation(randaugment="rand-m5").transform(Preprocessing(image_size=32))
        >>> make(Image.new("RGB", (40, 60))).shape
        torch.Size([3, 32, 32])
    """

    affine: bool = False
    crop: float | None = 0.35
    flip: float = 0.5
    color_jitter: float = 0.0
    randaugment: str | None = None
    erasing: float = 0.0

    def __post_init__(self) -> None:
        if self.crop is not None and not 0 < self.crop <= 1:
            raise ValueError(f"crop is a share of the area in (0, 1], or null, got {self.crop}.")
        for name in ("flip", "erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability, got {getattr(self, name)}.")

    def transform(self, preprocessing: Preprocessing) -> AugmentedImage:
        """The augmentation for images of a size and number of channels."""
        return AugmentedImage(self, preprocessing)


class AugmentedImage:
    """A picture to a random training image `(C, H, W)`; draws from the generators of torch, numpy and Python.

    Args:
        augmentation: What to do.
        preprocessing: Size, channels and normalization.

    Raises:
        ValueError: If colors are to change in a picture that has none of the usual.
    """

    def __init__(self, augmentation: Augmentation, preprocessing: Preprocessing) -> None:
        a, size = augmentation, preprocessing.image_size
        self.preprocessing = preprocessing
        self.colors = bool(a.randaugment or a.color_jitter)
        if self.colors and preprocessing.in_channels not in (1, 3):
            raise ValueError(
                f"randaugment and color_jitter change the colors of pictures with 1 or 3 channels; with "
                f"in_channels={preprocessing.in_channels} set them to null and 0."
            )
        bicubic = v2.InterpolationMode.BICUBIC
        places: list[nn.Module] = []
        if a.crop is None:
            short_side = [preprocessing.resize_size]
            places += [v2.Resize(short_side, interpolation=bicubic, antialias=True), v2.CenterCrop([size])]
        else:
            places += [v2.RandomResizedCrop(size, scale=(a.crop, 1), interpolation=bicubic, antialias=True)]
        if a.affine:
            bilinear = v2.InterpolationMode.BILINEAR
            places += [v2.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1), interpolation=bilinear)]
        if a.flip:
            places += [v2.RandomHorizontalFlip(a.flip)]
        self.places = v2.Compose(places)
        if self.colors:
            self.color = color_transform(
                a.randaugment, a.color_jitter, image_size=size, mean=preprocessing.mean, std=preprocessing.std
            )
        self.erase = RandomErasing(a.erasing, mode="pixel", device="cpu") if a.erasing else None

    def __call__(self, picture: Picture) -> Tensor:
        image = self.places(self.preprocessing.convert(picture))
        if self.colors:
            # resizing overshoots, and the bytes of an image would wrap around
            picture = image if isinstance(image, Image.Image) else v2.functional.to_pil_image(image.clamp(0, 1))
            image = self.preprocessing.convert(self.color(picture.convert("RGB")))
        out = self.preprocessing.tensor(image)
        return out if self.erase is None else self.erase(out)
