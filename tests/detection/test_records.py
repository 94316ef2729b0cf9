import logging
from pathlib import Path

import pytest

from vig_pyg.detection.records import Annotation, DetectionDataset, ImageRecord, clip_box


def test_boxes_are_cut_to_the_picture():
    assert clip_box((3, 4, 10, 12), (20, 30), "a", "stop") == (3, 4, 10, 12)
    assert clip_box((-5, -1, 40, 12), (20, 30), "a", "stop") == (0, 0, 30, 12)


@pytest.mark.parametrize("box", [(3, 4, 3, 9), (5, 4, 3, 9), (40, 0, 50, 9), (0, 0, float("nan"), 9), (3, 3, 3, 3)])
def test_boxes_without_area_are_reported_or_refused(box, caplog):
    with caplog.at_level(logging.WARNING):
        assert clip_box(box, (20, 30), "a.jpg, annotation 7", "drop") is None
    assert "a.jpg, annotation 7" in caplog.text
    with pytest.raises(ValueError, match=r"a\.jpg, annotation 7.*no area in an image of 30 x 20.*--on-bad drop"):
        clip_box(box, (20, 30), "a.jpg, annotation 7", "stop")


def test_masks_need_all_outlines_and_classes_must_agree():
    plain, outlined = Annotation((0, 0, 1, 1), 1), Annotation((0, 0, 1, 1), 1, segmentation=[[0, 0, 1, 0, 1, 1]])

    def source(*things):
        return DetectionDataset("images", [ImageRecord(Path("a"), 1, (2, 2), list(things))], ["cat", "dog"], [1, 2])

    assert source(outlined).has_masks
    assert not source(outlined, plain).has_masks
    assert not source().has_masks
    assert source().with_classes(["cat", "dog"])
    with pytest.raises(ValueError, match=r"images and the training set have different classes.*\['cow', 'dog'\]"):
        source().with_classes(["cat", "cow"])


def test_classes_are_matched_by_name(caplog):
    things = [Annotation((0, 0, 1, 1), 1, name="annotation 1"), Annotation((0, 0, 1, 1), 2, name="annotation 2")]
    source = DetectionDataset("images", [ImageRecord(Path("a"), 1, (2, 2), things)], ["cat", "dog"], [5, 9])
    other = source.with_classes(["dog", "bird", "cat"])
    assert (other.class_names, other.category_ids) == (["dog", "bird", "cat"], [9, 10, 5])
    assert [other.class_names[thing.label - 1] for thing in other.records[0].annotations] == ["cat", "dog"]
    assert [other.category_ids[thing.label - 1] for thing in other.records[0].annotations] == [5, 9]
    assert [thing.name for thing in other.records[0].annotations] == ["annotation 1", "annotation 2"]
    with pytest.raises(ValueError, match=r"different classes.*\['dog'\].*matched by name"):
        source.with_classes(["cat"])
    unused = DetectionDataset("images", [ImageRecord(Path("a"), 1, (2, 2), things[:1])], ["cat", "dog"], [5, 9])
    assert unused.with_classes(["cat"]).category_ids == [5]
    assert "['dog']" in caplog.text
