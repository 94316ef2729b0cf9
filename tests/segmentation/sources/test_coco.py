import json

import numpy as np
import pytest
from PIL import Image

from tests.detection.scenes import make_coco
from tests.segmentation.scenes import make_panoptic
from vig_pyg.segmentation.records import check_masks, read_mask
from vig_pyg.segmentation.sources import open_source


def change(path, act):
    content = json.loads(path.read_text())
    act(content)
    path.write_text(json.dumps(content))


def test_panoptic_segments_become_classes(tmp_path):
    found = open_source(make_panoptic(tmp_path))
    assert found.class_names == ["sky", "road", "tree"]  # in the order of the ids
    for i, record in enumerate(found.records):
        with Image.open(record.mask.path) as image:
            ids = np.asarray(image).astype(int) @ [1, 256, 65536]
        labels = record.mask.read()
        assert (labels[ids == 0] == 255).all()
        for c in range(3):
            assert (labels[ids == 300 + c] == (255 if c == 1 and i == 2 else c)).all()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: c["annotations"][1]["segments_info"].pop(0), "segment 300 that is not in the annotation"),
        (lambda c: c["annotations"][1]["segments_info"][0].update(category_id=6), "category 6, which is not"),
        (lambda c: c["annotations"].pop(0), r"1 image has no mask: 0\.jpg"),
        (lambda c: c["annotations"].append(c["annotations"][0]), "image 10, which has two"),
        (lambda c: c["annotations"][0].update(image_id=99), "image 99, which is not in the file"),
        (
            lambda c: c["annotations"][0].update(file_name="none.png"),
            r"1 of 6 files that .* names does not exist: .*none\.png",
        ),
        (lambda c: c["images"][0].update(id="a"), "id: expected a int, got 'a'"),
        (lambda c: c["images"][0].update(file_name=None), "file_name: expected a str"),
        (lambda c: c.update(categories=3), "a list of objects 'categories'"),
        (lambda c: c["categories"][0].update(name="sky "), "categories 9 and 5 are both called 'sky'"),
        (lambda c: c["categories"][0].update(id=7), "the id 7 appears twice in categories"),
        (lambda c: c["images"].append({**c["images"][0], "file_name": "1.jpg"}), "the id 10 appears twice in images"),
        (lambda c: c["annotations"][0].update(segments_info="x"), "a list of objects 'segments_info'"),
    ],
)
def test_wrong_panoptic_files_are_named(tmp_path, act, message):
    path = make_panoptic(tmp_path)
    change(path, act)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        check_masks(open_source(path))


def test_a_color_mask_in_place_of_a_panoptic_one_is_named(tmp_path):
    path = make_panoptic(tmp_path)
    Image.new("L", (30, 30)).save(tmp_path / "panoptic_few" / "1.png")
    with pytest.raises(ValueError, match=r"1\.png cannot be used: it is not in color"):
        check_masks(open_source(path))


def test_objects_become_classes_with_a_background(tmp_path):
    found = open_source(make_coco(tmp_path / "data", count=4))
    assert found.class_names == ["background", "blue", "red"]
    checked = check_masks(found)
    assert checked.counts[0] > 0 and checked.counts[1:].sum() > 0
    names = ["red", "background", "other", "blue"]
    for record, other in zip(found.records, found.with_classes(names).records, strict=True):
        labels, table = read_mask(record, 3), np.array([1, 3, 0])
        assert np.array_equal(read_mask(other, 4).numpy(), table[labels.numpy()])


def rectangle(x, y, w, h, **entry):
    outline = [x, y, x + w, y, x + w, y + h, x, y + h]
    return {"bbox": [x, y, w, h], "segmentation": [outline], "area": w * h, "iscrowd": 0, **entry}


def test_small_objects_are_in_front_and_crowds_hide_nothing(tmp_path):
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    counts = {"size": [30, 40], "counts": [0, 30 * 40]}  # the whole image
    objects = [
        rectangle(5, 5, 10, 10, category_id=1),
        rectangle(0, 0, 30, 20, category_id=2),
        {"bbox": [0, 0, 40, 30], "segmentation": counts, "area": 1200, "iscrowd": 1, "category_id": 1},
    ]
    annotations = [{"id": i + 1, "image_id": 1, **entry} for i, entry in enumerate(objects)]
    images = [{"id": 1, "file_name": "a.png", "height": 30, "width": 40}]
    categories = [{"id": 1, "name": "cup"}, {"id": 2, "name": "table"}]
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    (record,) = open_source(path).records
    labels = read_mask(record, 3)
    assert labels[10, 10] == 1 and labels[2, 2] == 2 and labels[25, 35] == 255
    assert (labels == 1).sum() == 100 and (labels == 2).sum() == 500
