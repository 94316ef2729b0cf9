"""Heat maps of patch scores on an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from vig_pyg._figure import figure
from vig_pyg._palette import SIGNED
from vig_pyg.explain._panel import pale, pixels_of, show_image, single_size
from vig_pyg.image_io import AnyImage

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_attribution(image: AnyImage, scores: Tensor) -> Figure:
    """Draw an image next to a heat map of its patch scores.

    Positive scores (for the class) are red and negative scores are blue; scores near 0 are transparent.

    Args:
        image: Pixels in [0, 1], `(3, H, W)` or `(1, H, W)`; or a PIL image, a path or an array (see
            `vig_pyg.image_io.as_image`). The grid of patches covers the whole image.
        scores: One score per patch, `(h, w)`, such as `attribute(...).patches`.

    Shapes: image `(3, H, W)` or `(1, H, W)`, scores `(h, w)`.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: If the image or the scores have another shape, or a score is not finite.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> fig = draw_attribution(torch.rand(3, 32, 32), torch.randn(8, 8))
    """
    pixels = pixels_of(image)
    if scores.dim() != 2 or not scores.isfinite().all():
        got = tuple(scores.shape) if scores.dim() != 2 else "some that are NaN or infinite"
        raise ValueError(f"Expected one finite score for each patch, (h, w), got {got}.")
    height, width = pixels.shape[1:]
    most = float(scores.abs().max()) or 1.0
    scores = scores.detach().cpu().float()
    wide, high = single_size(height, width)
    columns = 1 if wide > 2 * high else 2  # wide images are below each other
    fig = figure(0.5 * wide * columns + 1, max(2.4, 0.5 * high * (3 - columns) + 0.4))
    left, right = fig.subplots(3 - columns, columns)
    for axes, light in ((left, pixels), (right, pale(pixels))):
        show_image(axes, light)
    heat = right.imshow(
        scores.numpy(),
        cmap=SIGNED,
        vmin=-most,
        vmax=most,
        alpha=(scores.abs() / most).clamp(0, 1).sqrt().mul(0.85).numpy(),
        extent=(0, width, height, 0),
        interpolation="nearest",
    )
    bar = fig.colorbar(heat, ax=right if columns == 2 else (left, right), shrink=0.9, label="score")
    bar.set_ticks([-most, 0, most], labels=[f"{-most:.2g}", "0", f"{most:.2g}"])
    return fig
