import json
import logging

import numpy as np
import pytest
from PIL import Image

from vig_pyg.segmentation.records import check_masks, read_mask
from vig_pyg.segmentation.sources import open_source

CATEGORIES = [{"id": 1, "name": "cup"}, {"id": 2, "name": "table"}]


def rectangle(x, y, w, h, **entry):
    outline = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    return {"bbox": [x, y, w, h], "segmentation": outline, "area": w * h, "iscrowd": 0, "category_id": 1, **entry}


def write(path, objects, categories=CATEGORIES, images=1):
    """A file of images of 40 x 30 pixels, all objects in the first."""
    for i in range(images):
        Image.new("RGB", (40, 30)).save(path / f"{i}.png")
    entries = [{"id": i, "file_name": f"{i}.png", "height": 30, "width": 40} for i in range(images)]
    annotations = [{"id": i + 1, "image_id": 0, **entry} for i, entry in enumerate(objects)]
    content = {"images": entries, "annotations": annotations, "categories": categories}
    (path / "instances.json").write_text(json.dumps(content))
    return path / "instances.json"


def labels_of(found, number=0):
    return read_mask(found.records[number], len(found.class_names)).numpy()


UNUSABLE = {
    "two points": [[1, 1, 4, 4]],
    "an odd number": [[1, 1, 4, 4, 5]],
    "no number": [["a", 1, 4, 4, 5, 5]],
    "nan": [[float("nan"), 1, 4, 4, 5, 5]],
    "outside": [[90, 90, 99, 90, 99, 99]],
    "a line": [[2, 2, 9, 2, 20, 2]],
    "one point": [[5, 5, 5, 5, 5, 5]],
    "missing": [],
    "null": None,
    "other run lengths": {"size": [3, 4], "counts": [5, 7]},
    "no run lengths": {"size": [30, 40], "counts": [1200]},
    "a word": "outline",
}


@pytest.mark.parametrize("crowd", [0, 1])
@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_object_with_an_unusable_outline_is_no_background(tmp_path, caplog, kind, crowd):
    rng = np.random.default_rng(len(kind))
    x, y, w, h = (int(v) for v in (rng.integers(2, 20), rng.integers(2, 15), rng.integers(6, 15), rng.integers(6, 12)))
    # a larger object behind it, a smaller one in front, and one elsewhere
    bad = rectangle(x, y, w, h, segmentation=UNUSABLE[kind], iscrowd=crowd)
    objects = [rectangle(0, 0, 38, 28, category_id=2), bad, rectangle(x + 2, y + 2, 2, 2)]
    path = write(tmp_path, objects, images=2)
    empty = crowd and not UNUSABLE[kind]  # the box of a crowd is its outline
    if not empty:
        with pytest.raises(ValueError, match=r"0\.png, annotation 2: the outline cannot be used") as error:
            open_source(path)
        assert "--on-bad drop" in str(error.value)
    with caplog.at_level(logging.WARNING):
        found = open_source(path, on_bad="drop")
    assert ("annotation 2" in caplog.text) != empty
    want = np.zeros((30, 40), dtype=np.uint8)
    want[:28, :38] = 2
    if empty:
        assert (labels_of(found)[:28, :38] != 255).all()  # crowds are behind objects
        return
    want[y : y + h, x : x + w] = 255
    want[y + 2 : y + 4, x + 2 : x + 4] = 1
    assert np.array_equal(labels_of(found), want) and not labels_of(found, 1).any()
    renamed = found.with_classes(["table", "background", "cup"])
    assert np.array_equal(labels_of(renamed), np.array([1, 2, 0, *[255] * 253])[want])
    counts = np.bincount(want.ravel(), minlength=3)[:3] + np.array([1200, 0, 0])  # with the second image
    assert check_masks(found).counts.tolist() == counts.tolist()


NO_BOXES = [[0, 0, 0, 0], [5, 5, -3, 2], [1, 2, 3], ["a", 0, 1, 1], [float("nan"), 1, 2, 3], [], None]


@pytest.mark.parametrize("box", NO_BOXES)
def test_the_box_of_an_object_with_an_outline_is_not_needed(tmp_path, box):
    found = open_source(write(tmp_path, [rectangle(5, 6, 10, 8, bbox=box), rectangle(0, 0, 3, 3)]))
    want = np.zeros((30, 40), dtype=np.uint8)
    want[6:14, 5:15] = want[:3, :3] = 1
    assert np.array_equal(labels_of(found), want)


def test_an_image_with_an_object_of_unknown_place_is_left_out(tmp_path, caplog):
    bad = rectangle(1, 1, 3, 3, bbox=[0, 0, 0, 0], segmentation=[[1, 1, 2, 2]])
    path = write(tmp_path, [rectangle(5, 6, 10, 8), bad], images=3)
    with pytest.raises(ValueError, match=r"0\.png, annotation 2"):
        open_source(path)
    with caplog.at_level(logging.WARNING):
        found = open_source(path, on_bad="drop")
    assert [record.path.stem for record in found.records] == ["1", "2"] and "1 of 3 images is left out" in caplog.text


@pytest.mark.parametrize("on_bad", ["stop", "drop"])
def test_boxes_alone_are_no_masks(tmp_path, on_bad):
    objects = [rectangle(i, i, 5, 5, segmentation=none) for i, none in enumerate([[], None, ""])]
    message = r"annotation 1 is the first.*a segmentation network cannot learn from boxes"
    with pytest.raises(ValueError, match=message) as error:
        open_source(write(tmp_path, objects), on_bad=on_bad)
    assert "R-CNN" not in str(error.value)


def test_polygons_that_intersect_themselves_and_small_objects_are_used(tmp_path):
    bow = [[2, 2, 22, 22, 22, 2, 2, 22]]  # two triangles of equal area
    small = rectangle(30, 20, 0.2, 0.2)
    found = open_source(write(tmp_path, [rectangle(2, 2, 20, 20, segmentation=bow), small]))
    assert (labels_of(found) == 1).sum() > 100 and not (labels_of(found) == 255).any()


@pytest.mark.parametrize("name", ["background", "Background", "BACKGROUND", " background "])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_category_called_background_is_the_background(tmp_path, name, place):
    names = ["cup", "table"]
    names.insert(place, name)
    categories = [{"id": i + 1, "name": one} for i, one in enumerate(names)]
    numbers = {one.strip().lower(): i + 1 for i, one in enumerate(names)}
    objects = [
        rectangle(0, 0, 30, 20, category_id=numbers["table"]),
        rectangle(20, 15, 20, 15, category_id=numbers["cup"]),
        rectangle(4, 4, 6, 6, category_id=numbers["background"]),  # a hole
    ]
    found = open_source(write(tmp_path, objects, categories))
    assert found.class_names == ["background", "cup", "table"]
    want = np.zeros((30, 40), dtype=np.uint8)
    want[:20, :30] = 2
    want[15:, 20:] = 1
    want[4:10, 4:10] = 0
    assert np.array_equal(labels_of(found), want)


def test_both_kinds_of_background_are_one_class(tmp_path):
    categories = [{"id": i, "name": name} for i, name in enumerate(["Background", "cup", "background"])]
    objects = [rectangle(0, 0, 9, 9, category_id=0), rectangle(10, 0, 9, 9), rectangle(20, 0, 9, 9, category_id=2)]
    found = open_source(write(tmp_path, objects, categories))
    assert found.class_names == ["background", "cup"] and np.bincount(labels_of(found).ravel()).tolist() == [1119, 81]
