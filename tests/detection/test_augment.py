import pytest
import torch
from torch import Tensor

from tests.detection.scenes import change, covered, make_coco
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.data import DetectionSet, open_source


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
        assert image.shape == plain[i][0].shape
        assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
        assert covered(image, target)
        differ += not torch.equal(image, plain[i][0])
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
