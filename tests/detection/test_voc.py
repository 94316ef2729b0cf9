import logging
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.detection import voc_oddities as odd
from tests.detection.scenes import add_to_file, make_voc
from vig_pyg.detection.voc import read_voc


def test_pictures_and_objects(tmp_path):
    root = make_voc(tmp_path / "VOC")
    found = read_voc(root, "train")
    assert found.title == "VOC:train"
    assert (found.class_names, found.category_ids) == (["blue", "red"], [1, 2])
    assert [record.path.name for record in found.records] == ["pic0.jpg", "pic1.jpg", "pic2.jpg"]
    for record in found.records:
        with Image.open(record.path) as image:
            for thing in record.annotations:  # the box covers the colored rectangle to the pixel
                colors = [
                    image.getpixel((int(x), int(y))) for x, y in (thing.box[:2], (thing.box[2] - 1, thing.box[3] - 1))
                ]
                assert all(c[0 if thing.label == 2 else 2] > 150 for c in colors)
    assert [record.path.name for record in read_voc(root, "test").records] == ["pic3.jpg"]


def test_difficult_objects_are_crowds_and_slips_are_left_out(tmp_path, caplog):
    root = make_voc(tmp_path)
    annotation = root / "Annotations" / "pic0.xml"
    before = len(read_voc(root, "train").records[0].annotations)
    add_to_file(annotation, (5, 5, 9, 9), "red", difficult="1")
    add_to_file(annotation, (7, 7, 7, 7), "red")
    with caplog.at_level(logging.WARNING):
        things = read_voc(root, "train").records[0].annotations
    assert [thing.crowd for thing in things] == [False] * before + [True]
    assert things[-1].box == (4, 4, 9, 9)
    assert "pic0.jpg, red: the box (7.0, 7.0, 7.0, 7.0)" in caplog.text
    with pytest.raises(ValueError, match=r"pic0\.jpg, red"):
        read_voc(root, "train", on_bad="stop")


def test_the_size_comes_from_the_picture_where_the_annotation_has_none(tmp_path):
    root = make_voc(tmp_path)
    path = root / "Annotations" / "pic0.xml"
    path.write_text(path.read_text().replace("<width>64</width>", "<width>0</width>"))
    assert read_voc(root, "train").records[0].size == (48, 64)


def test_classes_are_those_of_training(tmp_path):
    root = make_voc(tmp_path)
    assert read_voc(root, "test", classes=["blue", "green", "red"]).class_names == ["blue", "green", "red"]
    add_to_file(root / "Annotations" / "pic3.xml", (2, 2, 9, 9), "green")
    with pytest.raises(ValueError, match=r"'test'.*\['green'\]"):
        read_voc(root, "test", classes=["blue", "red"])


def test_what_is_wrong_is_said(tmp_path):
    root = make_voc(tmp_path / "VOC")
    with pytest.raises(FileNotFoundError, match="no ImageSets/Main"):
        read_voc(tmp_path, "train")
    with pytest.raises(FileNotFoundError, match="no list 'val': choose one of test, train"):
        read_voc(root, "val")
    (root / "ImageSets/Main/empty.txt").write_text("\n")
    with pytest.raises(ValueError, match="contains no image name"):
        read_voc(root, "empty")
    add_to_file(root / "Annotations" / "pic1.xml", (2, 2, "wide", 9), "red")
    with pytest.raises(ValueError, match=r"pic1\.jpg: a box cannot be read"):
        read_voc(root, "train")
    (root / "Annotations" / "pic1.xml").write_text("<annotation>")
    with pytest.raises(ValueError, match=r"pic1\.xml cannot be read as XML"):
        read_voc(root, "train")
    (root / "Annotations" / "pic1.xml").unlink()
    with pytest.raises(FileNotFoundError, match=r"pic1\.xml"):
        read_voc(root, "train")
    (root / "JPEGImages" / "pic3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="no image for the annotation pic3"):
        read_voc(root, "test")


def outcome(root, rng, changes, on_bad, caplog):
    """Apply changes, read, and compare with what should come of them."""
    case = odd.make_case(root, rng)
    for change in changes:
        change(case)
    caplog.clear()
    named = f"{[change.__name__ for change in changes]} {on_bad}"
    if case.refusals or (case.left_out and on_bad == "stop"):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            odd.read(case, on_bad)
        text = str(caught.value)
        assert any(re.search(words, text) for words in case.refusals + case.left_out), (named, text)
        return "refused"
    assert odd.read(case, on_bad) == case.expected, named
    logged = [record.getMessage() for record in caplog.records]
    assert all(any(re.search(words, line) for line in logged) for words in case.left_out), (named, logged)
    return "read, objects left out" if case.left_out else "read"


@pytest.mark.parametrize("change", odd.MEANT + odd.UNUSABLE + odd.REFUSED, ids=lambda change: change.__name__)
def test_one_oddity(tmp_path, change, caplog):
    caplog.set_level(logging.WARNING)
    for i, on_bad in enumerate(["drop", "stop"] * 3):
        found = outcome(tmp_path / str(i), np.random.default_rng(i), [change], on_bad, caplog)
        assert (found == "refused") == (change in odd.REFUSED or (change in odd.UNUSABLE and on_bad == "stop"))


def combinations(tmp_path, caplog, count):
    caplog.set_level(logging.WARNING)
    outcomes = Counter()
    for seed in range(count):
        rng = np.random.default_rng(1000 + seed)
        changes = [odd.MEANT[i] for i in rng.permutation(len(odd.MEANT))[: rng.integers(1, 6)]]
        changes += odd.UNUSABLE if rng.random() < 0.4 else []
        changes += [odd.REFUSED[int(rng.integers(len(odd.REFUSED)))]] if rng.random() < 0.25 else []
        on_bad = "stop" if rng.random() < 0.2 else "drop"
        outcomes[outcome(tmp_path / str(seed), rng, changes, on_bad, caplog)] += 1
    return outcomes


def test_oddities_together(tmp_path, caplog):
    outcomes = combinations(tmp_path, caplog, 60)
    assert len(outcomes) == 3
    assert min(outcomes.values()) > 5


@pytest.mark.slow
def test_many_oddities_together(tmp_path, caplog):
    assert min(combinations(tmp_path, caplog, 1500).values()) > 100


def test_names_with_spaces_and_endings(tmp_path):
    root = make_voc(tmp_path)
    for folder, end in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        (root / folder / f"pic0{end}").rename(root / folder / f"my pic 1{end}")
    (root / "ImageSets/Main/own.txt").write_text("my pic 1\npic1.jpg\nmy pic 1 -1\n")
    assert [record.path.name for record in read_voc(root, "own").records] == ["my pic 1.jpg", "pic1.jpg"]


def test_a_list_that_is_no_text_is_named(tmp_path):
    root = make_voc(tmp_path)
    (root / "ImageSets" / "Main" / "train.txt").write_bytes(b"pic0\n\xff\xfe\n")
    with pytest.raises(ValueError, match=r"Main/train\.txt is not text \(.*invalid start byte"):
        read_voc(root, "train")


@pytest.mark.parametrize("tag", ["html", "labels", "object"])
def test_other_xml_is_no_picture_without_objects(tmp_path, tag):
    root = make_voc(tmp_path / "VOC")
    (root / "Annotations" / "pic1.xml").write_text(f"<{tag}/>")
    with pytest.raises(ValueError, match=rf"pic1\.xml is not a Pascal VOC annotation: .* got <{tag}>"):
        read_voc(root, "train")


def test_boxes_far_beyond_the_picture_are_told(tmp_path, caplog):
    root = make_voc(tmp_path / "VOC")
    read_voc(root, "train")
    assert not caplog.records
    file = root / "Annotations" / "pic1.xml"
    file.write_text(re.sub(r"<xmax>\d+", "<xmax>500", file.read_text()))
    read_voc(root, "train")
    [line] = [record.getMessage() for record in caplog.records]
    assert re.search(r"pic1\.xml: \d boxes extend far beyond the image of 64 x 48 pixels .* object 1, ", line)
