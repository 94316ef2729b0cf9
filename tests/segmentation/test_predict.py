import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from tests.segmentation.scenes import CLASSES
from vig_pyg import load
from vig_pyg.image_io import drawing_scale
from vig_pyg.segmentation.predict import predict
from vig_pyg.segmentation.sources import open_source


@pytest.fixture
def segmenter(trained):
    return load(trained[0])


def images(data):
    return sorted((data / "images").iterdir())


def test_masks_drawings_and_run_lengths_agree_with_the_network(trained, segmenter, tmp_path):
    paths, seen = images(trained[1]), []
    found = predict(segmenter, paths, tmp_path / "out", rle=True, device="cpu", progress=seen.append)
    assert (found.count, found.broken, found.undrawn, sum(seen)) == (4, [], [], 4)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "masks", "drawings", "classes.txt", "predictions.json",
    }  # fmt: skip
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [entry["name"] for entry in content["categories"]] == CLASSES
    for entry, path in zip(content["images"], paths, strict=True):
        labels = segmenter(path)["labels"].numpy()
        with Image.open(tmp_path / "out" / "masks" / path.name) as mask, Image.open(path) as image:
            assert np.array_equal(np.asarray(mask), labels) and mask.size == image.size
            assert (entry["width"], entry["height"]) == image.size
        with Image.open(tmp_path / "out" / "drawings" / path.name) as drawing:
            scale = drawing_scale(entry["height"], entry["width"])
            assert drawing.width == scale * entry["width"] and drawing.height > scale * entry["height"]
            assert min(drawing.size) >= 384
        again = np.full_like(labels, 255)
        for one in content["annotations"]:
            if one["image_id"] == entry["id"]:
                area = coco_mask.decode(one["segmentation"]) == 1
                again[area] = one["category_id"]
                assert one["area"] == area.sum()
                assert one["bbox"] == coco_mask.toBbox(one["segmentation"]).tolist()
        assert np.array_equal(again, labels)


def test_the_masks_can_be_trained_on(trained, segmenter, tmp_path):
    predict(segmenter, images(trained[1]), tmp_path / "out", device="cpu")
    (tmp_path / "out" / "images").symlink_to(trained[1] / "images")
    found = open_source(tmp_path / "out")
    assert found.class_names == CLASSES and len(found.records) == 4


def test_unreadable_images_are_listed_and_the_others_are_segmented(trained, segmenter, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"x")
    found = predict(segmenter, [tmp_path / "broken.jpg", images(trained[1])[0]], tmp_path / "out", device="cpu")
    assert found.count == 1 and found.broken[0].path == tmp_path / "broken.jpg"
    with pytest.raises(ValueError, match="The only image could not be read"):
        predict(segmenter, [tmp_path / "broken.jpg"], tmp_path / "none", device="cpu")
    with pytest.raises(FileNotFoundError, match="no image at"):
        predict(segmenter, [tmp_path / "gone.jpg"], tmp_path / "none", device="cpu")
    with pytest.raises(ValueError, match="at least one image"):
        predict(segmenter, [], tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_images_of_one_name_get_numbers_and_nothing_is_replaced(trained, segmenter, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (9, 7)).save(tmp_path / name / "x.png")
    predict(segmenter, [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"], tmp_path / "out", device="cpu")
    assert sorted(os.listdir(tmp_path / "out" / "masks")) == ["x-2.png", "x.png"]
    with pytest.raises(FileExistsError):
        predict(segmenter, [tmp_path / "a" / "x.png"], tmp_path / "out", device="cpu")


def test_an_error_leaves_nothing(trained, segmenter, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(segmenter.model, "forward", fail)
    with pytest.raises(KeyboardInterrupt):
        predict(segmenter, images(trained[1]), tmp_path / "deep" / "out", device="cpu")
    assert not (tmp_path / "deep").exists()


def test_the_labels_are_bytes(trained, segmenter):
    assert segmenter(images(trained[1])[0])["labels"].dtype == torch.uint8
