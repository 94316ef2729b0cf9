import numpy as np
import pytest
import torch

from tests.test__palette import KINDS, lab
from vig_pyg._color_vision import area_distances, as_seen

COLORS = [(0, 0, 0), (255, 255, 255), (214, 39, 40), (44, 160, 44), (1, 2, 3), (0, 114, 178)]


@pytest.mark.parametrize("kind", KINDS)
def test_colors_as_they_are_seen(kind):
    seen = as_seen(COLORS)[:, list(KINDS).index(kind)]
    for one, color in zip(seen, COLORS, strict=True):
        assert torch.allclose(torch.from_numpy(one), lab(color, kind), atol=1e-6)


def test_gray_has_no_hue_for_anybody():
    assert np.abs(as_seen([(g, g, g) for g in range(0, 256, 5)])[..., 1:]).max() < 0.1


def areas(*colors):
    """Each color over three grays, `(N, 3, 4, 3)`."""
    return np.stack([as_seen([[0.6 * c + 0.4 * g for c in color] for color in colors]) for g in (72, 128, 184)], axis=1)


def test_the_worst_eye_counts():
    red, green = areas((214, 39, 40), (44, 160, 44))[:, :, :]
    middle = np.linalg.norm(red[1] - green[1], axis=-1)
    assert area_distances(red[None], green[None]).item() == pytest.approx(
        middle[1:].min()
    )  # red and green are far apart
    assert middle[0] > 2 * middle[1:].min()


def test_normal_vision_counts_by_half():
    blue, violet = areas((0, 0, 160), (90, 0, 255))
    near = area_distances(blue[None], violet[None]).item()
    assert near <= np.linalg.norm(blue[1, 0] - violet[1, 0]) / 2


def test_colors_that_differ_in_brightness_alone_are_near():
    dark, bright = areas((0, 60, 60), (110, 170, 170))
    assert area_distances(dark[None], bright[None]).item() < 12 < np.linalg.norm(dark[1] - bright[1], axis=-1).min()


def test_distances_are_symmetric_and_zero_for_the_same_color():
    some = areas(*COLORS)
    found = area_distances(some, some)
    assert found.shape == (6, 6) and np.allclose(found, found.T) and np.allclose(found.diagonal(), 0)
