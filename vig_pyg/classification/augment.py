"""Augmentation of training images with random crops, flips and colors, by timm."""

from __future__ import annotations

from PIL import Image
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn
from torchvision.transforms import v2

from vig_pyg.classification.color_ops import color_transform
from vig_pyg.classification.config import Augmentation
from vig_pyg.preprocess import DecodedImage, Preprocessing


class AugmentedImage:
    """Transforms an image into a random training image, with the random generators of torch, NumPy and Python.

    Raises:
        ValueError: If the augmentation changes colors, but the images have neither 1 nor 3 channels.

    Example:
        >>> make = AugmentedImage(Augmentation(randaugment="rand-m5"), Preprocessing(image_size=32))
        >>> make(Image.new("RGB", (40, 60))).shape
        torch.Size([3, 32, 32])
    """

    def __init__(self, augmentation: Augmentation, preprocessing: Preprocessing) -> None:
        a, size = augmentation, preprocessing.image_size
        self.preprocessing = preprocessing
        self.colors = bool(a.randaugment or a.color_jitter)
        if self.colors and preprocessing.in_channels not in (1, 3):
            raise ValueError(
                f"randaugment and color_jitter change the colors of images with 1 or 3 channels; with "
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

    def __call__(self, image: DecodedImage) -> Tensor:
        out = self.places(self.preprocessing.convert(image))
        if self.colors:
            # resizing may exceed the range, and bytes would wrap around
            pixels = out if isinstance(out, Image.Image) else v2.functional.to_pil_image(out.clamp(0, 1))
            out = self.preprocessing.convert(self.color(pixels.convert("RGB")))
        made = self.preprocessing.tensor(out)
        return made if self.erase is None else self.erase(made)
