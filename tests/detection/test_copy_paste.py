import random

import pytest
import torch

from tests.detection.scenes import add_picture, covered, make_coco, make_voc
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.copy_paste import paste_objects
from vig_pyg.detection.data import open_source
from vig_pyg.detection.dataset import DetectionSet
from vig_pyg.engine.seeds import seeded


def sample(draw, image_id):
    """An image whose pixels are the number of the object there, from 0 to 5 objects that do not overlap."""
    height, width = draw.choice([1, 7, 30, 60]), draw.choice([1, 9, 40, 50])
    count = draw.randint(0, min(5, width))
    image = torch.full((3, height, width), 10 * image_id, dtype=torch.uint8)
    masks = torch.zeros(count, height, width, dtype=torch.uint8)
    boxes = torch.zeros(count, 4)
    for i in range(count):
        x1, x2 = i * width // count, max(i * width // count + 1, (i + 1) * width // count - 1)
        y1 = draw.randint(0, height - 1)
        y2 = draw.randint(y1 + 1, height)
        masks[i, y1:y2, x1:x2] = 1
        boxes[i] = torch.tensor([x1, y1, x2, y2])
        image[:, y1:y2, x1:x2] = 10 * image_id + i + 1
    labels = torch.arange(1, count + 1) + 10 * image_id
    return image, {"boxes": boxes, "labels": labels, "masks": masks, "image_id": torch.tensor(image_id)}


def brute(mask):
    """The box of the pixels of a mask."""
    rows, columns = mask.nonzero().t()
    return torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]).float()


@pytest.mark.parametrize("seed", range(60))
def test_every_pixel_belongs_to_the_object_that_is_said_to_be_there(seed):
    """Images of random sizes down to one pixel, with random objects or none."""
    draw = random.Random(seed)
    first, second = sample(draw, 1), sample(draw, 2)
    before = first[0].clone(), first[1]["masks"].clone(), first[1]["boxes"].clone()
    with seeded(seed):
        image, target = paste_objects(*first, *second)
    assert all(
        torch.equal(a, b) for a, b in zip(before, (first[0], *(first[1][k] for k in ("masks", "boxes"))), strict=True)
    )
    assert (image.shape, image.dtype, target["image_id"]) == (first[0].shape, torch.uint8, 1)
    assert target["masks"].dtype == torch.uint8 and target["masks"].shape[1:] == image.shape[1:]
    assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"])
    for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
        assert (image[0][mask.bool()] == label).all()
        assert torch.equal(box, brute(mask))
    assert (target["masks"].sum(0) <= 1).all()
    seen = set(image[0].unique().tolist()) - {10, 20}
    assert seen == set(target["labels"].tolist())


def test_objects_are_pasted_with_both_images_larger_and_are_half_of_all():
    draw, pasted, offered, kept = random.Random(0), 0, 0, set()
    for seed in range(200):
        first, second = sample(draw, 1), sample(draw, 2)
        with seeded(seed):
            found = paste_objects(*first, *second)[1]["labels"]
        pasted, offered = pasted + int((found > 20).sum()), offered + len(second[1]["labels"])
        kept.add(len(first[1]["labels"]) - int((found < 20).sum()))
    assert 0.2 < pasted / offered < 0.5  # some lie beyond a smaller image
    assert len(kept) > 1  # some are covered


@pytest.mark.parametrize("masks", [True, False])
@pytest.mark.parametrize("values", [{}, {"jitter": (0.3, 2.0), "jitter_size": 80, "flip": "hv"}, {"scale": (0.5, 2)}])
def test_images_with_pasted_objects_fit_their_masks_and_depend_on_the_seed_alone(tmp_path, masks, values):
    path = make_coco(tmp_path, count=6)
    add_picture(path, (1, 1))
    source = open_source(path)
    plain = DetectionSet(source, masks=masks, augmentation=Augmentation(**values))
    found = DetectionSet(source, masks=masks, augmentation=Augmentation(copy_paste=0.8, **values))
    changed = more = 0
    for i in range(7):
        for seed in range(4):
            image, target = found[i, 10 * i + seed]
            again = found[i, 10 * i + seed]
            assert torch.equal(image, again[0]) and all(torch.equal(target[k], again[1][k]) for k in target)
            assert ("masks" in target) == masks
            assert target["image_id"] == source.records[i].image_id
            assert not masks or covered(image, target)
            changed += not torch.equal(image, plain[i, 10 * i + seed][0])
            more += len(target["boxes"]) > len(plain[i, 10 * i + seed][1]["boxes"])
    assert changed > 5 and more > 0


def test_pasting_needs_outlines(tmp_path):
    source = open_source(f"{make_voc(tmp_path)}:train")
    for masks in (True, False):
        with pytest.raises(ValueError, match="without outlines"):
            DetectionSet(source, masks=masks, augmentation=Augmentation(copy_paste=0.5))
