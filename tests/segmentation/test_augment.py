import random

import pytest
import torch

from vig_pyg.engine.seeds import seeded
from vig_pyg.segmentation.augment import GRAY, augment
from vig_pyg.segmentation.config import Augmentation

PLAIN = Augmentation(scale=(1.0, 1.0), flip="none", color=0)


def pair(height, width, seed=0):
    """An image whose colors are its labels, so that both can be compared after any change of places."""
    labels = torch.randint(0, 5, (height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
    return (labels * 40).expand(3, -1, -1).clone(), labels


def test_without_changes_nothing_changes():
    image, labels = pair(20, 30)
    found = augment(PLAIN, image, labels, size=(20, 30), crop_size=(20, 30))
    assert torch.equal(found[0], image) and torch.equal(found[1], labels)


@pytest.mark.parametrize("flip", ["none", "h", "hv"])
def test_image_and_mask_move_together_and_what_is_beyond_the_border_is_ignored(flip):
    draw = random.Random(0)
    for seed in range(30):
        height, width = draw.randint(1, 40), draw.randint(1, 40)
        crop = draw.randint(1, 40), draw.randint(1, 40)
        image, labels = pair(height, width, seed)
        with seeded(seed):
            pixels, mask = augment(
                Augmentation(scale=(1.0, 1.0), flip=flip, color=0), image, labels, size=(height, width), crop_size=crop
            )
        assert pixels.shape == (3, *crop) and mask.shape == crop and mask.dtype == torch.uint8
        inside = mask != 255
        assert torch.equal(pixels[0][inside], mask[inside] * 40) and (pixels[:, ~inside] == GRAY).all()
        assert inside.sum() == min(height, crop[0]) * min(width, crop[1])


def test_labels_are_never_blended():
    for seed in range(30):
        image, labels = pair(33, 41, seed)
        labels = labels * 60
        with seeded(seed):
            _, mask = augment(Augmentation(), image, labels, size=(33, 41), crop_size=(32, 32))
        assert set(mask.unique().tolist()) <= {0, 60, 120, 180, 240, 255}


def test_zoom_is_relative_to_the_size_and_within_its_range():
    image, labels = torch.zeros(3, 20, 40, dtype=torch.uint8), torch.zeros(20, 40, dtype=torch.uint8)
    seen = []
    for seed in range(40):
        with seeded(seed):
            augmentation = Augmentation(scale=(0.5, 2.0), flip="none", color=0)
            _, mask = augment(augmentation, image, labels, size=(40, 80), crop_size=(200, 300))
        inside = mask != 255
        rows, columns = int(inside.any(1).sum()), int(inside.any(0).sum())
        assert abs(columns - 2 * rows) <= 1
        seen.append(rows / 40)
    assert 0.5 <= min(seen) < 0.7 and 1.7 < max(seen) <= 2.0


def test_colors_change_and_labels_do_not():
    image, labels = pair(20, 30)
    with seeded(1):
        pixels, mask = augment(
            Augmentation(scale=(1.0, 1.0), flip="none", color=0.5), image, labels, size=(20, 30), crop_size=(20, 30)
        )
    assert torch.equal(mask, labels) and not torch.equal(pixels, image)
