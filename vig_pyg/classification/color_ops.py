"""Random color changes from timm's configuration strings, for any image and any version of Pillow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from PIL import Image
from timm.data import auto_augment
from timm.data.transforms_factory import create_transform

from vig_pyg._image_values import Statistic
from vig_pyg._io.text import error_text, terminal_text
from vig_pyg.engine.seeds import seeded
from vig_pyg.preprocess import each_channel

#: Longest configuration string, and the largest number in it; timm interprets a `mstd` above 100 as infinity.
LENGTH_LIMIT, NUMBER_LIMIT = 100, 1_000


def color_transform(
    randaugment: str | None, color_jitter: float, *, image_size: int, mean: Statistic, std: Statistic
) -> Callable[[Image.Image], Image.Image]:
    """Return the second of the three stages of timm's training transform: RandAugment or color jitter of an RGB image.

    Args:
        randaugment: A string such as `"rand-m9-mstd0.5-inc1"`, `"augmix-m5-w4"` or `"original-mstd0.5"`.
        color_jitter: Largest relative change of brightness, contrast and saturation; timm ignores it if `randaugment`
            is set.
        image_size: Side length of the images in pixels, to which translations are relative.
        mean: Mean of the normalization; areas that a shift leaves empty are filled with this color.

    Raises:
        ValueError: If timm does not support the string, or the transform fails on an image.

    Example:
        >>> change = color_transform("rand-m9-n1-p1", 0.0, image_size=32, mean=0.5, std=0.5)
        >>> change(Image.new("RGB", (32, 32))).size
        (32, 32)
    """
    if randaugment is not None:
        _check_bounds(randaugment)
    try:
        _, transform, _ = create_transform(
            image_size,
            is_training=True,
            color_jitter=color_jitter or None,  # type: ignore[arg-type]  # timm takes None
            auto_augment=randaugment,
            interpolation="bicubic",
            mean=each_channel(mean, 3),
            std=each_channel(std, 3),
            separate=True,
        )
        for operation in _operations(transform):
            if operation.aug_fn is auto_augment.posterize:
                operation.aug_fn = posterize  # changes only this object, not timm's own table
        with seeded(0):
            # Some errors, such as more layers than operations, are raised only here.
            transform(Image.new("RGB", (2, 2)))
    except (AssertionError, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError) as error:
        raise ValueError(
            f"{_said(randaugment)} is not a valid augmentation of timm ({error_text(error, limit=200)}); a valid one "
            "is 'rand-m9-mstd0.5-inc1'."
        ) from error
    return transform


def posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """Keep only the most significant bits of each channel; with 0 bits the image becomes black.

    timm's magnitudes include 0 bits, as in the published recipe. Before version 12, Pillow supported this; since then,
    it raises an error.

    Example:
        >>> posterize(Image.new("RGB", (1, 1), (255, 100, 7)), 0).getpixel((0, 0))
        (0, 0, 0)
    """
    return auto_augment.posterize(image, bits) if bits > 0 else image.point(lambda _: 0)


def _operations(transform: Any) -> Iterator[Any]:
    """Yield the single operations of timm's RandAugment, AugMix and AutoAugment in a composed transform."""
    for part in transform.transforms:
        yield from getattr(part, "ops", ())
        for row in getattr(part, "policy", ()):
            yield from row


def _check_bounds(text: str) -> None:
    """Raise an error for a string with very large numbers, because a billion layers would exhaust the memory."""
    digits = re.findall(r"\d+", text)
    if len(text) > LENGTH_LIMIT or any(len(one) > 4 or int(one) > NUMBER_LIMIT for one in digits):
        raise ValueError(
            f"{_said(text)} is longer than {LENGTH_LIMIT} characters or has a number above {NUMBER_LIMIT}."
        )


def _said(text: str | None) -> str:
    return f"randaugment={terminal_text(text, limit=LENGTH_LIMIT)!r}"
