"""Images of several sizes on their way into a detector, without padding.

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
    """Images of a batch, each in its own size, and the size to which their maps are padded.

    It stands where torchvision's detectors expect the padded tensor: they ask it for its shape alone.

    Args:
        images: One tensor `(C, H_i, W_i)` an image.
        divisor: The common height and width are the least multiples of it that hold all images.

    Example:
        >>> RaggedImages([torch.rand(3, 30, 40), torch.rand(3, 50, 20)], 32).shape
        torch.Size([2, 3, 64, 64])
    """

    images: list[Tensor]
    divisor: int = 32

    @property
    def shape(self) -> torch.Size:
        """The shape that the padded batch would have."""
        sides = [max(image.size(d) for image in self.images) for d in (1, 2)]
        padded = [-(-side // self.divisor) * self.divisor for side in sides]
        return torch.Size([len(self.images), self.images[0].size(0), *padded])

    def to(self, device: torch.device) -> RaggedImages:
        return RaggedImages([image.to(device) for image in self.images], self.divisor)


class DetectionTransform(GeneralizedRCNNTransform):
    """torchvision's resizing and normalization, but the images stay apart, and no side becomes too short.

    The short side becomes `min_size`, or less where the long side would pass `max_size`. An image so narrow that a
    side would fall below `smallest` pixels gets `smallest` there: it is distorted rather than lost.

    Args:
        min_size: Length of the short side in pixels; of several, one is drawn for each image in training, the last
            is taken in evaluation.
        max_size: Largest length of the long side.
        image_mean: Mean of each channel, for pixels in [0, 1].
        image_std: Standard deviation of each channel.
        divisor: Pixels a cell of the coarsest map of the backbone.
        smallest: Shortest side that the backbone takes.

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
                f"Need {smallest} <= min_size <= max_size, got min_size={min_size} and max_size={max_size}."
            )
        super().__init__(sides, max_size, list(image_mean), list(image_std), size_divisible=divisor)
        self.smallest = smallest

    def resize(self, image: Tensor, target: Target | None = None) -> tuple[Tensor, Target | None]:
        """Resize one image, its boxes and its masks for the backbone."""
        side = self.torch_choice(self.min_size) if self.training else self.min_size[-1]
        before = [image.size(1), image.size(2)]
        scale = min(side / min(before), self.max_size / max(before))
        # 800 / 427 * 427 must not become 799 by rounding
        size = [max(self.smallest, int(length * scale + 1e-6)) for length in before]
        image = F.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]
        if target is None:
            return image, None
        target = {**target, "boxes": resize_boxes(target["boxes"], before, size)}
        if "masks" in target and target["masks"].size(0):
            target["masks"] = F.interpolate(target["masks"][:, None].float(), size=size)[:, 0].byte()
        elif "masks" in target:
            target["masks"] = target["masks"].new_zeros((0, *size))
        return image, target

    def postprocess(
        self, result: list[Target], image_shapes: list[tuple[int, int]], original_image_sizes: list[tuple[int, int]]
    ) -> list[Target]:
        """Return detections in pixels of the original images, without those that have no area."""
        if not self.training:
            areas = [(found["boxes"][:, 2:] - found["boxes"][:, :2]).amin(1) for found in result]
            result = [{k: v[a > 0] for k, v in found.items()} for found, a in zip(result, areas, strict=True)]
        found: list[Target] = super().postprocess(result, image_shapes, original_image_sizes)
        return found

    def batch_images(self, images: list[Tensor], size_divisible: int = 32) -> RaggedImages:
        """Return the images as they are: padding would put patches into the graph that are no part of an image."""
        return RaggedImages(images, size_divisible)
