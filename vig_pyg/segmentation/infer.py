"""Class probabilities of the pixels of whole images, by one pass, sliding windows, and flipped copies.

Shapes: C classes, H x W pixels of the input, h x w pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vig_pyg.segmentation.heads import resize_map
from vig_pyg.segmentation.preprocess import Size
from vig_pyg.segmentation.segmenter import logits_of

#: Number of windows that are processed in one batch.
WINDOWS = 8


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Options for applying the network to an image.

    Args:
        window: Height and width in pixels of the windows that cover the resized image; `None` for the whole image.
        stride: Vertical and horizontal distance of the windows; by default two thirds of the window, as usual.
        flip: If true, the probabilities of the image and of its mirror image are averaged.

    Raises:
        ValueError: If a side of the window or of the stride is below 1, or a stride is larger than its window.

    Example:
        >>> Inference(window=(512, 512)).strides
        (341, 341)
    """

    window: Size | None = None
    stride: Size | None = None
    flip: bool = False

    def __post_init__(self) -> None:
        if self.window is None and self.stride is not None:
            raise ValueError("A stride needs a window.")
        if self.window is not None and min(*self.window, *self.strides) < 1:
            raise ValueError(f"window and stride must be at least 1, got {self.window} and {self.stride}.")
        if self.window is not None and any(s > w for s, w in zip(self.strides, self.window, strict=True)):
            raise ValueError(f"The stride {self.stride} is larger than the window {self.window}: this omits pixels.")

    @property
    def strides(self) -> Size:
        """The distance of the windows."""
        if self.stride is not None or self.window is None:
            return self.stride or (1, 1)
        return max(1, self.window[0] * 2 // 3), max(1, self.window[1] * 2 // 3)


@torch.inference_mode()
def probabilities(model: nn.Module, images: Sequence[Tensor], sizes: Sequence[Size], how: Inference) -> list[Tensor]:
    """Return the probability of each class at each pixel of some images.

    Args:
        model: The network, in evaluation mode.
        images: Normalized images `(C, H_i, W_i)` on the device of the network, of any sizes.
        sizes: Height and width of the results, which are those of the original images.
        how: How the network is applied.

    Shapes: the results are `(num_classes, h_i, w_i)`.
    """
    found = _of_images(model, images, how)
    if how.flip:
        mirrored = _of_images(model, [image.flip(-1) for image in images], how)
        found = [(one + other.flip(-1)) / 2 for one, other in zip(found, mirrored, strict=True)]
    return [
        one if tuple(one.shape[1:]) == tuple(size) else resize_map(one[None], size)[0]
        for one, size in zip(found, sizes, strict=True)
    ]


def _of_images(model: nn.Module, images: Sequence[Tensor], how: Inference) -> list[Tensor]:
    if how.window is None:
        return [logits.float().softmax(0) for logits in logits_of(model, list(images))]
    return [_by_windows(model, image, how.window, how.strides) for image in images]


def _by_windows(model: nn.Module, image: Tensor, window: Size, strides: Size) -> Tensor:
    """Return the mean of the probabilities of all windows that contain a pixel."""
    sides = image.shape[1:]
    tall, wide = (min(w, side) for w, side in zip(window, sides, strict=True))
    tops, lefts = (_starts(side, w, s) for side, w, s in zip(sides, (tall, wide), strides, strict=True))
    corners = [(top, left) for top in tops for left in lefts]
    total: Tensor | None = None
    count = image.new_zeros(1, *sides)
    for i in range(0, len(corners), WINDOWS):
        part = corners[i : i + WINDOWS]
        parts = torch.stack([image[:, top : top + tall, left : left + wide] for top, left in part])
        for (top, left), found in zip(part, model(parts)["out"].float().softmax(1), strict=True):
            total = found.new_zeros(found.size(0), *sides) if total is None else total
            total[:, top : top + tall, left : left + wide] += found
            count[:, top : top + tall, left : left + wide] += 1
    assert total is not None
    return total / count


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window; the last window ends at the border of the image."""
    last = side - window
    return sorted({min(start, last) for start in range(0, last + stride, stride)})
