"""Enlargement of small images on which something is drawn."""

from __future__ import annotations

from torch import Tensor

#: An image whose short side is shorter than the first number is enlarged, so that lines, areas and names are readable:
#: to at least this side, unless its long side would exceed the second number.
_SHORT, _LONG = 480, 1024


def drawing_scale(height: int, width: int) -> int:
    """Return the integer factor by which an image is enlarged before something is drawn on it; 1 for large images.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Example:
        >>> drawing_scale(32, 32), drawing_scale(180, 240), drawing_scale(480, 640), drawing_scale(5, 2000)
        (15, 3, 1, 1)
    """
    short, long = sorted((height, width))
    if not 0 < short < _SHORT:
        return 1
    return max(1, min(-(-_SHORT // short), _LONG // long))


def enlarge(pixels: Tensor, scale: int) -> Tensor:
    """Repeat each pixel `scale` times in both directions.

    Args:
        pixels: Pixels, labels or masks, `(..., H, W)`.
        scale: The factor.

    Shapes: `(..., H, W)` to `(..., scale * H, scale * W)`.

    Example:
        >>> import torch
        >>> enlarge(torch.tensor([[1, 2]]), 2).tolist()
        [[1, 1, 2, 2], [1, 1, 2, 2]]
    """
    return pixels if scale == 1 else pixels.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
