"""Distances of colors as people see them, with and without the three kinds of color blindness."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Linear RGB to linear RGB as it is seen with all cones, and without those for long, medium or short waves (Machado,
#: Oliveira, Fernandes, "A physiologically-based model for simulation of color vision deficiency", IEEE TVCG 2009).
_KINDS = np.array(
    [
        [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ]
)
#: Linear sRGB to XYZ, and the white of sRGB (IEC 61966-2-1, D65).
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.119192, 0.9503041]]
)
_WHITE = np.array([0.95047, 1, 1.08883])


def as_seen(colors: Sequence[tuple[float, float, float]] | np.ndarray) -> np.ndarray:
    """Return the CIELAB coordinates of colors for normal vision, protanopia, deuteranopia and tritanopia.

    Args:
        colors: Red, green and blue from 0 to 255, `(N, 3)`.

    Shapes: `(N, 3)` to `(N, 4, 3)`.

    Example:
        >>> as_seen([(255, 255, 255), (0, 0, 0)])[:, 0, 0].round().tolist()
        [100.0, 0.0]
    """
    share = np.asarray(colors, dtype=np.float64).reshape(-1, 3) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    seen = np.einsum("kij,nj->nki", _KINDS, linear).clip(0, 1)
    xyz = seen @ _TO_XYZ.T / _WHITE
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def area_distances(areas: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how well areas of one color can be told apart from areas of another one, by everybody.

    It is the smallest of three distances (CIE 1976, 2.3 is just noticeable where two areas touch): that for the kind of
    color blindness that tells the colors apart the least; half of that for normal vision, which sees more colors; and
    that for normal vision if one area is dark and the other one bright, since colors of one hue may then look alike.

    Args:
        areas: N colors (see `as_seen`) over G grays, of which the middle one stands for the average image.
        others: M colors over the same grays.

    Shapes: `(N, G, 4, 3)` and `(M, G, 4, 3)` to `(N, M)`.

    Example:
        >>> grays = [[(60, 60, 60), (90, 90, 90), (120, 120, 120)], [(90, 90, 90), (120, 120, 120), (150, 150, 150)]]
        >>> light, lighter = np.array([as_seen(one) for one in grays])[:, None]
        >>> area_distances(light, lighter).round(1).item()
        0.0
    """
    middle = areas.shape[1] // 2
    same = np.linalg.norm(areas[:, None, middle] - others[None, :, middle], axis=-1)  # (N, M, 4)
    same[..., 0] /= 2
    crossed = np.linalg.norm(areas[:, None, :, None, 0] - others[None, :, None, :, 0], axis=-1)  # (N, M, G, G)
    nearest: np.ndarray = np.minimum(same.min(-1), crossed.min((-1, -2)))
    return nearest
