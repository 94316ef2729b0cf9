import random

import pytest
import torch

from tests.detection.scenes import add_picture, change, covered, make_coco, make_voc
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.data import DetectionData, collate, open_source
from vig_pyg.detection.dataset import DetectionSet, decode_mask
from vig_pyg.detection.records import Annotation
from vig_pyg.engine.faults import faults_of


def pictures(path, **options):
    return DetectionSet(open_source(path), **options)


def test_sources_of_both_formats(tmp_path):
    coco, voc = make_coco(tmp_path / "coco"), make_voc(tmp_path / "VOC")
    assert len(open_source(coco).records) == 6
    (tmp_path / "coco" / "images").rename(tmp_path / "elsewhere")
    assert len(open_source(f"{coco}:{tmp_path / 'elsewhere'}").records) == 6
    assert len(open_source(f"{voc}:test", classes=["blue", "red"]).records) == 1
    with pytest.raises(ValueError, match=r"Expected FILE\.json"):
        open_source(voc)
    with pytest.raises(ValueError, match="different classes"):
        open_source(f"{coco}:{tmp_path / 'elsewhere'}", classes=["blue"])
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "none.json")


def test_items_have_pictures_boxes_and_masks(tmp_path):
    path = make_coco(tmp_path)
    add_picture(path, (1, 1))
    add_picture(path, (9, 9), [(1, 1, 5, 5)], crowd=True)
    found = pictures(path, masks=True)
    for i in range(6):
        image, target = found[i]
        assert image.shape[1:] == target["masks"].shape[1:] == found.source.records[i].size
        assert 0 <= image.min() <= image.max() <= 1
        assert target["image_id"] == 10 * (i + 1)
        assert covered(image, target)
    for i, size in ((6, (1, 1)), (7, (9, 9))):  # nothing, and a crowd
        _, target = found[i]
        assert target["boxes"].shape == (0, 4)
        assert target["labels"].shape == (0,)
        assert target["masks"].shape == (0, *size)
    assert "masks" not in pictures(path)[0][1]


def test_all_forms_of_outlines_decode():
    square = torch.zeros(4, 5, dtype=torch.uint8)
    square[1:3, 1:3] = 1
    runs = {"size": [4, 5], "counts": [5, 2, 2, 2, 9]}  # column by column
    assert torch.equal(decode_mask(Annotation((1, 1, 3, 3), 1, segmentation=runs), (4, 5)), square)
    polygon = [[1, 1, 3, 1, 3, 3, 1, 3]]
    assert torch.equal(decode_mask(Annotation((1, 1, 3, 3), 1, segmentation=polygon), (4, 5)), square)
    from pycocotools import mask

    packed = mask.frPyObjects(runs, 4, 5)
    assert torch.equal(decode_mask(Annotation((1, 1, 3, 3), 1, segmentation=packed), (4, 5)), square)


def test_pictures_that_cannot_be_used_are_named(tmp_path):
    path = make_coco(tmp_path)
    change(path, lambda content: content["images"][0].update(width=65))
    with pytest.raises(ValueError, match=r"0\.png has 64 x 48 pixels, but its annotation says 65 x 48"):
        pictures(path)[0]
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"1\.png cannot be read"):
        pictures(path)[1]
    found = pictures(path)
    (tmp_path / "images" / "2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2\.png"):
        found[2]
    with pytest.raises(ValueError, match="without outlines"):
        pictures(f"{make_voc(tmp_path / 'VOC')}:train", masks=True)


def test_order_and_augmentation_depend_on_seed_and_epoch_alone(tmp_path):
    source = open_source(make_coco(tmp_path))
    options = {"masks": False, "augmentation": Augmentation(flip="hv", scale=(0.5, 2.0)), "batch_size": 2}

    def epoch(number, seed=0, workers=0):
        loader = DetectionData(source, source, num_workers=workers, seed=seed, **options).train_dataloader()
        loader.batch_sampler.set_epoch(number)
        return [image.sum().item() for images, _ in loader for image in images]

    first = epoch(0)
    torch.rand(7)
    assert epoch(0) == epoch(0, workers=1) == first
    assert epoch(1) != first != epoch(0, seed=1)


def test_batches(tmp_path):
    train, val = open_source(make_coco(tmp_path / "a")), open_source(make_coco(tmp_path / "b", count=3))
    options = {"masks": False, "augmentation": Augmentation(), "num_workers": 0}
    data = DetectionData(train, val, batch_size=4, **options)
    images, targets = next(iter(data.train_dataloader()))
    assert len(images) == len(targets) == 4
    assert len(data.train_dataloader()) == 1
    assert [len(part[0]) for part in data.val_dataloader()] == [3]
    seen = [int(t["image_id"]) for _, part in data.val_dataloader() for t in part]
    assert seen == [10, 20, 30]
    with pytest.raises(ValueError, match="batch_size must be from 1 to 6"):
        DetectionData(train, val, batch_size=7, **options)
    assert collate([(torch.zeros(1), {}), (torch.zeros(2), {})])[0][1].shape == (2,)


@pytest.mark.parametrize("seed", range(3))
def test_one_image_that_cannot_be_read_is_told_with_what_to_do(tmp_path, seed):
    train = open_source(make_coco(tmp_path / "train", count=5))
    val = open_source(make_coco(tmp_path / "val", count=3))
    data = DetectionData(train, val, masks=False, augmentation=Augmentation(), batch_size=2)
    path = random.Random(seed).choice([record.path for record in (*train.records, *val.records)])
    path.write_bytes(b"")
    error = next(told for told in faults_of(data.train_set.pixels, 5) + faults_of(data.val_set.pixels, 3))
    told = f"{error.rstrip('.')}; replace it, or remove its annotations."
    assert data.with_all_faults(error) == told == data.with_all_faults(told)
    assert data.with_all_faults(f"The loss of {path} is not finite.") == f"The loss of {path} is not finite."


@pytest.mark.parametrize("seed", range(3))
def test_images_that_cannot_be_read_are_told_one_in_a_line_with_what_to_do(tmp_path, seed):
    source = open_source(make_coco(tmp_path, count=14))
    data = DetectionData(source, source, masks=False, augmentation=Augmentation(), batch_size=2)
    broken = random.Random(seed).sample([record.path for record in source.records], 3)
    for path in broken:
        path.write_bytes(b"")
    told = data.with_all_faults(f"{broken[0]} cannot be read: it is empty.")
    head, *lines = told.split("\n")
    assert head == "6 of 28 images cannot be used; replace them, or remove their annotations:"
    assert len(lines) == 6 and all(sum(str(path) in line for line in lines) == 2 for path in broken)
