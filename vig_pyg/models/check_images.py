"""Checks of the images that a model receives."""

from __future__ import annotations

import torch
from torch import Tensor

from vig_pyg.config import ModelConfig
from vig_pyg.data import Maps
from vig_pyg.ops import is_transformed, without_transforms


def check_images(images: Maps, config: ModelConfig) -> Maps:
    """Check the images of a model, and return them as a tensor or a list.

    Args:
        images: Float images `(B, in_channels, H, W)`, or a list of `(in_channels, H_i, W_i)`.

    Raises:
        ValueError: If the images have another shape or dtype, or (on a CPU) a pixel is not finite.

    Example:
        >>> from vig_pyg.config import VIG_VARIANTS
        >>> check_images(torch.rand(2, 3, 32, 32), VIG_VARIANTS["micro"]).shape
        torch.Size([2, 3, 32, 32])
    """
    parts: list[Tensor] = list(images) if isinstance(images, (list, tuple)) else [images]
    form = "(C, H, W)" if isinstance(images, (list, tuple)) else "(B, C, H, W)"
    if not parts or (isinstance(images, Tensor) and images.dim() == 4 and images.size(0) == 0):
        raise ValueError("Got no images: pass at least one.")
    for i, part in enumerate(parts):
        where = f"image {i} of the list" if isinstance(images, (list, tuple)) else "images"
        _check_one(part, where, form, config)
    return parts if isinstance(images, (list, tuple)) else parts[0]


def _check_one(part: Tensor, where: str, form: str, config: ModelConfig) -> None:
    channels, patch = config.in_channels, config.patch_size
    if not isinstance(part, Tensor) or part.dim() != form.count(",") + 1:
        got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
        single = isinstance(part, Tensor) and part.dim() == 3
        hint = ": pass image[None] for a single image" if single else ""
        raise ValueError(f"Expected {where} as a tensor {form}, got {got}{hint}.")
    if not part.is_floating_point():
        raise ValueError(f"Expected {where} as floats, got {part.dtype}: scale to [0, 1] and normalize first.")
    if part.size(-3) != channels:
        raise ValueError(
            f"Expected {where} with {channels} channels, got {part.size(-3)} in {tuple(part.shape)}: "
            "pass in_channels=... when you create the model."
        )
    if part.size(-2) < patch or part.size(-1) < patch:  # `min` would compare symbolic sizes with each other
        raise ValueError(
            f"Expected {where} of at least {patch} x {patch} pixels, got {tuple(part.shape[-2:])}: "
            "resize, or create the model with a smaller patch_size."
        )
    # The sum is finite if all pixels are finite, and needs one pass. On a GPU this check would synchronize the device.
    if part.device.type == "cpu" and not torch.compiler.is_compiling():
        finite = part.detach().flatten(-3).sum(-1, dtype=torch.float64).isfinite()
        samples = is_transformed()
        finite = without_transforms(finite) if samples else finite
        if not finite.all():
            known = finite.dim() and not samples  # the index of the image is known, but not the index of a sample
            which = f"image {int((~finite).nonzero()[0, 0])} of the batch" if known else where
            raise ValueError(f"Pixels of {which} are not finite (NaN or infinity): check how it was loaded.")
