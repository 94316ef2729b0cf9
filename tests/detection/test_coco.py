import json
import logging
import re

import pytest
from PIL import Image

from tests.detection.scenes import add_picture, change, coco_entry, make_coco
from vig_pyg.detection import coco
from vig_pyg.detection.coco import read_coco


def test_pictures_and_objects(tmp_path):
    path = make_coco(tmp_path)
    add_picture(path, (1, 1))
    add_picture(path, (20, 30), [(2, 3, 12, 13)], crowd=True)
    found = read_coco(path)
    assert found.class_names == ["blue", "red"]
    assert found.category_ids == [3, 7]
    assert [record.image_id for record in found.records] == [10, 20, 30, 40, 50, 60, 70, 80]
    assert found.records[1].size == (64, 64)
    assert found.records[6].annotations == []
    (crowd,) = found.records[7].annotations
    assert (crowd.box, crowd.label, crowd.crowd, crowd.area) == ((2, 3, 12, 13), 1, True, 100)
    assert found.has_masks


@pytest.mark.parametrize("place", ["images", ".", "../val2017"])
def test_pictures_are_found_in_the_customary_places(tmp_path, place):
    path = make_coco(tmp_path / "annotations")
    path = path.rename(path.with_name("instances_val2017.json"))
    if place != "images":
        (path.parent / "images").rename(path.parent / place if place != "." else tmp_path / "all")
    if place == ".":
        for picture in (tmp_path / "all").iterdir():
            picture.rename(path.parent / picture.name)
    assert all(record.path.is_file() for record in read_coco(path).records)


def test_a_named_folder_is_the_only_place(tmp_path):
    path = make_coco(tmp_path / "a")
    (tmp_path / "a" / "images").rename(tmp_path / "images")
    assert len(read_coco(path, tmp_path / "images").records) == 6
    with pytest.raises(FileNotFoundError, match=r"the first is .*0\.png.*pass their folder"):
        read_coco(path)
    (tmp_path / "images" / "3.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"^1 image of .* is not in .*: 3\.png"):
        read_coco(path, tmp_path / "images")


def test_boxes_without_area_are_left_out_with_a_report_or_refused(tmp_path, caplog):
    path = make_coco(tmp_path)
    change(path, lambda c: c["annotations"].append(coco_entry(99, 20, (5, 5, 5, 9), 0)))
    before = len(read_coco(make_coco(tmp_path / "b")).records[1].annotations)
    with caplog.at_level(logging.WARNING):
        assert len(read_coco(path).records[1].annotations) == before
    assert "1.png, annotation 99" in caplog.text
    with pytest.raises(ValueError, match=r"1\.png, annotation 99"):
        read_coco(path, on_bad="stop")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.pop("categories"), "not in COCO's format.*categories"),
        (lambda c: [c["annotations"][0].pop(key) for key in ("bbox", "segmentation")], "annotation 1 has neither bbox"),
        (lambda c: c["annotations"][0].update(bbox=[1, 2]), "not enough values"),
        (lambda c: c["annotations"][0].update(image_id=5), "annotation 1 belongs to image 5"),
        (lambda c: c["annotations"][0].update(category_id=5), "annotation 1 has category 5"),
        (lambda c: c["images"].append(c["images"][0]), "appear twice"),
        (lambda c: c.update(images=[], annotations=[]), "no images"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, edit, message):
    path = make_coco(tmp_path)
    change(path, edit)
    with pytest.raises(ValueError, match=message) as caught:
        read_coco(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("seed", range(3))
def test_corners_in_place_of_sizes_are_told(tmp_path, caplog, seed):
    path = make_coco(tmp_path, seed=seed)
    entries = json.loads(path.read_text())["annotations"]
    found = read_coco(path)
    assert not caplog.records

    def to_corners(content):
        for entry in content["annotations"]:
            x, y, w, h = entry["bbox"]
            entry["bbox"] = [x, y, 3 * (x + w), 3 * (y + h)]

    change(path, to_corners)
    assert len(read_coco(path).records) == len(found.records)
    [line] = [record.getMessage() for record in caplog.records]
    assert re.search(rf"{path}: \d+ of {len(entries)} boxes extend far beyond .* \d\.png, annotation \d", line)
    assert "x, y, width, height, not two corners" in line


def test_slips_over_the_edge_are_cut_in_silence(tmp_path, caplog):
    path = make_coco(tmp_path)
    change(path, lambda c: [entry.update(bbox=[-2, -2, 68, 52]) for entry in c["annotations"][:2]])
    read_coco(path)
    assert not caplog.records


def test_shares_of_the_sides_are_no_pixels(tmp_path):
    path = make_coco(tmp_path)
    change(path, lambda c: [entry.update(bbox=[0.1, 0.2, 0.5, 0.8]) for entry in c["annotations"]])
    with pytest.raises(
        ValueError, match=r"seem to be fractions of the image size: expected x, y, width, height in pix"
    ):
        read_coco(path)


def test_two_names_are_not_one_picture(tmp_path):
    path = make_coco(tmp_path)
    change(path, lambda c: [entry.update(file_name=f"{i}/0.png") for i, entry in enumerate(c["images"])])
    with pytest.raises(ValueError, match=r"0/0\.png and 1/0\.png both match .*0\.png: keep their subfolders"):
        read_coco(path)


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no COCO file"):
        read_coco(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("text")
    with pytest.raises(ValueError, match="not in COCO's format"):
        read_coco(tmp_path / "text.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(ValueError, match="not in COCO's format"):
        read_coco(tmp_path / "list.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"images": ' + b"[{" * 100_000, "nested too deeply|not JSON"),
        (
            b'[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]',
            "result files: pass the annotation file",
        ),
        (b"\xff\xfe\xff", "not JSON"),
        (b'{"images": [], "annotations": [1' + b"0" * 9999 + b'], "categories": []}', "not JSON"),
        (b'"text"', "expected images, annotations and categories, got text"),
        (b"", "not JSON"),
        (b"null", "got nothing"),
    ],
)
def test_hostile_files_are_refused_at_once(tmp_path, content, message):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_coco(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_file_has_a_largest_size(tmp_path, monkeypatch):
    path = make_coco(tmp_path)
    monkeypatch.setattr(coco, "MAX_BYTES", path.stat().st_size)
    assert read_coco(path)
    monkeypatch.setattr(coco, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(ValueError, match=r"instances\.json is larger than"):
        read_coco(path)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_turned_photos(tmp_path, orientation):
    """A size before turning means boxes before turning."""
    path = make_coco(tmp_path, count=2, size=(40, 64))
    upright = read_coco(path).records
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(tmp_path / "images" / "0.png") as image:
        image.save(tmp_path / "images" / "0.png", exif=exif)
    if orientation == 3:
        with pytest.raises(ValueError, match=r"0\.png.*same before and after"):
            read_coco(path)
        return
    found = read_coco(path).records
    assert found[0].annotations == upright[0].annotations
    assert (found[0].size, found[0].turn, found[1].turn) == ((40, 64), orientation, 1)


@pytest.mark.parametrize(
    ("more", "used", "got"),
    [
        ([], {}, {3: "blue", 7: "red"}),
        ([(9, "green")], {}, {3: "blue", 7: "red", 9: "green"}),  # nothing is green: it is a class all the same
        ([(9, "blue")], {}, {3: "blue", 7: "red"}),  # objects are of 3
        ([(1, "blue")], {}, {3: "blue", 7: "red"}),
        ([(1, "red"), (2, "red")], {7: 2}, {2: "red", 3: "blue"}),
        ([(8, "green"), (9, "green")], {}, {3: "blue", 7: "red", 8: "green"}),  # of none: the first
        ([(9, "blue")], {7: 9}, "categories 3 and 9 are both called 'blue': rename one"),
    ],
)
def test_categories_of_one_name(tmp_path, caplog, more, used, got):
    path = make_coco(tmp_path)

    def edit(content):
        content["categories"] += [{"id": number, "name": name} for number, name in more]
        for entry in content["annotations"]:
            entry["category_id"] = used.get(entry["category_id"], entry["category_id"])

    change(path, edit)
    if isinstance(got, str):
        with pytest.raises(ValueError, match=got):
            read_coco(path)
        return
    with caplog.at_level(logging.WARNING):
        found = read_coco(path)
    assert dict(zip(found.category_ids, found.class_names, strict=True)) == got
    names = [name for _, name in [(3, "blue"), (7, "red"), *more]]
    assert ("several categories are called" in caplog.text) == (len({*names}) < len(names))
