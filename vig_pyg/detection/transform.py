"""Batches of images of different sizes for detectors, without padding.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.detection.transform import GeneralizedRCNNTransform, resize_boxes

Target = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class RaggedImages:
    """The images of a batch, each at its own size, and the size to which their feature maps are padded.

    torchvision's detectors receive this object instead of the padded tensor; they only read its shape.

    Args:
        images: One tensor `(C, H_i, W_i)` per image.
        divisor: The common height and width are the smallest multiples of this number that contain all images.

    Shapes: images `(C, H_i, W_i)`; `shape` is that of the padded batch, `(B, C, H, W)`.

    Example:
        >>> RaggedImages([torch.rand(3, 30, 40), torch.rand(3, 50, 20)], 32).shape
        torch.Size([2, 3, 64, 64])
    """

    images: list[Tensor]
    divisor: int = 32

    @property
    def shape(self) -> torch.Size:
        """The shape of the batch if it were padded."""
        sides = [max(image.size(d) for image in self.images) for d in (1, 2)]
        padded = [-(-side // self.divisor) * self.divisor for side in sides]
        return torch.Size([len(self.images), self.images[0].size(0), *padded])

    def to(self, device: torch.device) -> RaggedImages:
        """Return the same images on a device.

        Args:
            device: The device.

        Shapes: as for the class.
        """
        return RaggedImages([image.to(device) for image in self.images], self.divisor)


class DetectionTransform(GeneralizedRCNNTransform):
    """torchvision's resizing and normalization, but without padding, and with a lower limit for the sides.

    The short side is resized to `min_size`, or less if the long side would exceed `max_size`. If a side of a narrow
    image would be shorter than `smallest` pixels, it is resized to `smallest`, which distorts the image.

    Args:
        min_size: Length of the short side in pixels. If several are given, training draws one for each image, and
            evaluation uses the last.
        max_size: Largest length of the long side in pixels.
        image_mean: Mean of each channel, for pixels in [0, 1].
        image_std: Standard deviation of each channel.
        divisor: Stride of the coarsest map of the backbone, in pixels per cell.
        smallest: Shortest side in pixels that the backbone supports.

    Shapes: a list of images `(C, H_i, W_i)` to `RaggedImages` of resized images.

    Raises:
        ValueError: If a size is below 1, or `min_size` above `max_size`.

    Example:
        >>> transform = DetectionTransform(64, 96, [0.5], [0.5], divisor=32, smallest=4).eval()
        >>> transform([torch.rand(1, 1, 2000), torch.rand(1, 1, 1)])[0].image_sizes
        [(4, 96), (64, 64)]
    """

    def __init__(
        self,
        min_size: int | Sequence[int],
        max_size: int,
        image_mean: Sequence[float],
        image_std: Sequence[float],
        *,
        divisor: int,
        smallest: int,
    ) -> None:
        sides = [min_size] if isinstance(min_size, int) else list(min_size)
        if not sides or min(sides) < smallest or max(sides) > max_size:
            raise ValueError(
                f"min_size must be from {smallest} to max_size, got min_size={min_size} and max_size={max_size}."
            )
        super().__init__(sides, max_size, list(image_mean), list(image_std), size_divisible=divisor)
        self.smallest = smallest
        #: False if training images already have their final size, as after large-scale jitter.
        self.resize_in_training = True

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Resize an image with its boxes and masks to the size for the backbone.

        Args:
            image: The image `(C, H, W)`.
            target: Its `boxes (n, 4)` and `masks (n, H, W)`, if there are any.

        Shapes: `(C, H, W)` to `(C, H', W')`, the size of `output_size`.
        """
        before = [image.size(1), image.size(2)]
        size = self.output_size(before[0], before[1])
        if size == before and self.training and not self.resize_in_training:
            return image, target
        image = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]
        if target is None:
            return image, None
        target = {**target, "boxes": resize_boxes(target["boxes"], before, size)}
        if "masks" in target and target["masks"].size(0):
            target["masks"] = F.interpolate(target["masks"][:, None].float(), size=size)[:, 0].byte()
        elif "masks" in target:
            target["masks"] = target["masks"].new_zeros((0, *size))
        return image, target

    def output_size(self, height: int, width: int) -> list[int]:
        """Return the height and width to which an image is resized; in training it may be random.

        Args:
            height: Height of the image in pixels.
            width: Width of the image in pixels.
        """
        before = [height, width]
        if self.training and not self.resize_in_training:
            return [max(self.smallest, length) for length in before]
        side = self.torch_choice(self.min_size) if self.training else self.min_size[-1]
        scale = min(side / min(before), self.max_size / max(before))
        # rounding must not turn 800 / 427 * 427 into 799
        return [max(self.smallest, int(length * scale + 1e-6)) for length in before]

    def postprocess(
        self, result: list[Target], image_shapes: list[tuple[int, int]], original_image_sizes: list[tuple[int, int]]
    ) -> list[Target]:
        """Convert detections to pixels of the original images, and remove boxes without area.

        Args:
            result: The detections of each image.
            image_shapes: Height and width of each resized image.
            original_image_sizes: Height and width of each original image.
        """
        if not self.training:
            areas = [(found["boxes"][:, 2:] - found["boxes"][:, :2]).amin(1) for found in result]
            result = [{k: v[a > 0] for k, v in found.items()} for found, a in zip(result, areas, strict=True)]
        found: list[Target] = super().postprocess(result, image_shapes, original_image_sizes)
        return found

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> RaggedImages:
        """Return the images without padding, because padded patches would become nodes of the graph.

        Args:
            images: One tensor `(C, H_i, W_i)` per image.
            size_divisible: The divisor of `RaggedImages`.

        Shapes: images `(C, H_i, W_i)`.
        """
        return RaggedImages(images, size_divisible)
