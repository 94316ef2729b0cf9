import random

import pytest
import torch
from torch import Tensor

from tests.detection.scenes import change, covered, make_coco
from vig_pyg.detection.augment import augment
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.data import open_source
from vig_pyg.detection.dataset import DetectionSet


def pictures(path, **options):
    return DetectionSet(open_source(path), **options)


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(flip="hv"),
        Augmentation(flip="none", scale=(0.5, 0.6)),
        Augmentation(scale=(1.5, 2.0)),
        Augmentation(color=0.3),
        Augmentation(flip="hv", scale=(0.5, 2.0), color=0.2),
        Augmentation(flip="hv", jitter=(0.1, 2.0), jitter_size=70),
    ],
)
def test_augmentation_moves_boxes_and_masks_with_the_picture(tmp_path, augmentation):
    path = make_coco(tmp_path, count=4)
    plain, changed = pictures(path, masks=True), pictures(path, masks=True, augmentation=augmentation)
    differ = 0
    for i in [0, 1, 2, 3] * 4:
        image, target = changed[i]
        assert type(image) is Tensor
        assert all(type(value) is Tensor for value in target.values())
        assert augmentation.jitter or image.shape == plain[i][0].shape
        assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
        assert covered(image, target)
        differ += image.shape != plain[i][0].shape or not torch.equal(image, plain[i][0])
    assert differ > 4


def test_objects_that_leave_the_picture_are_gone(tmp_path):
    path = make_coco(tmp_path, count=1)
    left = {len(pictures(path, augmentation=Augmentation(scale=(6.0, 6.0)))[0][1]["boxes"]) for _ in range(20)}
    assert 0 in left
    empty = make_coco(tmp_path / "empty", count=1)
    change(empty, lambda content: content.update(annotations=[]))
    assert pictures(empty, augmentation=Augmentation(flip="hv", scale=(0.5, 2.0)))[0][1]["boxes"].shape == (0, 4)


@pytest.mark.parametrize("wrong", [{"flip": "v"}, {"scale": (0.0, 1.0)}, {"scale": (2.0, 1.0)}, {"color": 1.0}])
def test_augmentation_refuses_what_makes_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)


@pytest.mark.parametrize("seed", range(40))
def test_large_scale_jitter_zooms_without_distortion_and_crops_to_the_square(seed):
    """Images of random sizes, lines and single pixels too; a marked pixel grid shows the zoom."""
    draw = random.Random(seed)
    height, width = (draw.choice([1, 2, 30, 100, 300]) for _ in range(2))
    low = draw.choice([0.1, 0.5, 1.0])
    span, square = (low, low * draw.choice([1, 2, 4])), draw.choice([16, 64, 100])
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    target = {"boxes": torch.tensor([[0.0, 0.0, width, height]]), "labels": torch.tensor([1]),
              "masks": torch.ones(1, height, width, dtype=torch.uint8), "image_id": torch.tensor(3)}  # fmt: skip
    found, objects = augment(Augmentation(flip="none", jitter=span, jitter_size=square), image, target)
    long, short = max(found.shape[1:]), min(found.shape[1:])
    expected = [min(square, factor * square) for factor in span]
    assert expected[0] - 1 <= long <= expected[1] + 1 and long <= square
    if long < square:  # nothing was cropped
        assert short == pytest.approx(max(1, long * min(height, width) / max(height, width)), abs=1)
    assert len(objects["boxes"]) == 1 and objects["image_id"] == 3
    assert objects["boxes"][0].tolist() == pytest.approx([0, 0, found.size(2), found.size(1)], abs=1)
    assert objects["masks"].shape[1:] == found.shape[1:] and objects["masks"].all()


@pytest.mark.parametrize("values", [{"flip": "h"}, {"scale": (0.5, 2.0)}, {"color": 0.3, "flip": "none"}])
def test_options_that_are_off_change_no_random_number(values):
    """The same seed gives the same image as before these options were added: they draw nothing."""
    image = torch.arange(3 * 20 * 30, dtype=torch.uint8).view(3, 20, 30)
    target = {"boxes": torch.tensor([[2.0, 2.0, 20, 15]]), "labels": torch.tensor([1]), "image_id": torch.tensor(3)}
    results = []
    for more in ({}, {"jitter": None, "jitter_size": 7, "copy_paste": 0.0}):
        torch.manual_seed(0)
        results.append((augment(Augmentation(**values, **more), image, target)[0], torch.rand(())))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
