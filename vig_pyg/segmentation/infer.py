"""Class probabilities and labels of all pixels of an image, with sliding windows and flipped copies.

Shapes: C classes, H x W pixels of the input, h x w pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vig_pyg.segmentation.heads import resize_map
from vig_pyg.segmentation.preprocess import Size
from vig_pyg.segmentation.segmenter import logits_of

#: Number of windows that are processed in one batch.
WINDOWS = 8
#: Number of values that are computed at once at the original size, because the probabilities of all classes may need
#: gigabytes there.
VALUES = 2**24


@dataclass(frozen=True, kw_only=True)
class Inference:
    """Options for applying the network to an image.

    Args:
        window: Height and width in pixels of the windows that cover the resized image; `None` for the whole image.
        stride: Vertical and horizontal distance between windows in pixels; by default two thirds of the window, as
            usual.
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
            raise ValueError("stride has no effect without window: pass window, too.")
        if self.window is not None and min(*self.window, *self.strides) < 1:
            raise ValueError(f"window and stride must be at least 1, got {self.window} and {self.stride}.")
        if self.window is not None and any(s > w for s, w in zip(self.strides, self.window, strict=True)):
            raise ValueError(
                f"The stride {self.stride} is larger than the window {self.window}, which leaves out the pixels "
                "between windows: pass a smaller stride."
            )

    @property
    def strides(self) -> Size:
        """The vertical and horizontal distance between windows."""
        if self.stride is not None or self.window is None:
            return self.stride or (1, 1)
        return max(1, self.window[0] * 2 // 3), max(1, self.window[1] * 2 // 3)


@torch.inference_mode()
def probabilities(model: nn.Module, images: Sequence[Tensor], sizes: Sequence[Size], how: Inference) -> list[Tensor]:
    """Return the probability of each class at each pixel of some images.

    Args:
        images: Normalized images `(C, H_i, W_i)` on the device of the network, of any sizes.
        sizes: Height and width of the results, which are those of the original images.

    Example:
        >>> network = lambda images: {"out": images[:, :2]}
        >>> probabilities(network, [torch.rand(3, 4, 5)], [(8, 10)], Inference())[0].shape
        torch.Size([2, 8, 10])
    """
    return [
        one if tuple(one.shape[1:]) == tuple(size) else resize_map(one[None], size)[0]
        for one, size in zip(_with_flips(model, images, how), sizes, strict=True)
    ]


@torch.inference_mode()
def label_maps(
    model: nn.Module, images: Sequence[Tensor], sizes: Sequence[Size], how: Inference
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the probability and the index of the most probable class at each pixel of each image.

    The results are those of `max` over `probabilities`, which are not all computed at the original size at once.

    Args:
        images, sizes: As for `probabilities`.

    Shapes: the results are pairs of `(h_i, w_i)`, the second of int64.

    Example:
        >>> network = lambda images: {"out": images[:, :2]}
        >>> ((scores, labels),) = label_maps(network, [torch.rand(3, 4, 5)], [(4, 5)], Inference()); labels.shape
        torch.Size([4, 5])
    """
    if how.window is not None or how.flip:
        found = _with_flips(model, images, how)
        yield from (largest_class(one, size) for one, size in zip(found, sizes, strict=True))
        return
    for logits, size in zip(logits_of(model, list(images)), sizes, strict=True):
        if tuple(logits.shape[1:]) != tuple(size):
            yield largest_class(logits.float().softmax(0), size)
        else:
            yield _largest_share(logits)


def largest_class(x: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the largest value at each pixel of a resized map, and its class; the whole map is never resized at once.

    Shapes: `(C, H, W)` to two tensors of shape `size`, the second of int64.

    Example:
        >>> largest_class(torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]]), (1, 4))[1]
        tensor([[1, 1, 0, 0]])
    """
    if tuple(x.shape[1:]) == tuple(size):
        values, classes = x.max(0)
        return values, classes
    best: tuple[Tensor, Tensor] | None = None
    first = 0
    for part in x.split(_at_once(x, size)):
        values, classes = resize_map(part[None], size)[0].max(0)
        if best is None:
            best = values, classes
        else:
            more = values > best[0]  # of equal values the first class counts, as in `max`
            best = torch.where(more, values, best[0]), torch.where(more, classes + first, best[1])
        first += len(part)
    assert best is not None
    return best


def _at_once(x: Tensor, size: Sequence[int]) -> int:
    """Return the number of classes of a map `(C, H, W)` that can be resized at once with bit for bit the same result.

    On a CPU, torch uses other functions, which round differently, for three channels, for a single pixel (whose layout
    in memory is ambiguous), and for results with sides of up to 128 in total (which `VALUES` does not divide).
    """
    step = max(1, VALUES // (size[0] * size[1]))
    if step >= len(x) or len(x) == 3 or x[0].numel() == 1:
        return len(x)
    return 2 if step == 3 or len(x) % step == 3 else step


def _largest_share(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return `logits.float().softmax(0).max(0)`, computed for some pixels at a time."""
    # Softmax rounds pixels that do not fill a vector register differently, so the size of each part is a multiple of
    # 64.
    pixels = max(64, VALUES // len(logits) // 64 * 64)
    parts = [part.float().softmax(0).max(0) for part in logits.flatten(1).split(pixels, 1)]  # parts of (C, h * w)
    shares, classes = torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])
    return shares.view(logits.shape[1:]), classes.view(logits.shape[1:])  # (h * w,) -> (h, w)


def _with_flips(model: nn.Module, images: Sequence[Tensor], how: Inference) -> list[Tensor]:
    found = _of_images(model, images, how)
    if how.flip:
        mirrored = _of_images(model, [image.flip(-1) for image in images], how)
        found = [one.add_(other.flip(-1)).div_(2) for one, other in zip(found, mirrored, strict=True)]
    return found


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
    return total.div_(count)


def _starts(side: int, window: int, stride: int) -> list[int]:
    """Return the first pixel of each window; the last window ends at the border of the image."""
    last = side - window
    return sorted({min(start, last) for start in range(0, last + stride, stride)})
