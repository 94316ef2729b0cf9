import logging
from pathlib import Path

import pytest

from vig_pyg.detection.records import Annotated, Record, Thing, sound_box


def test_boxes_are_cut_to_the_picture():
    assert sound_box((3, 4, 10, 12), (20, 30), "a", "stop") == (3, 4, 10, 12)
    assert sound_box((-5, -1, 40, 12), (20, 30), "a", "stop") == (0, 0, 30, 12)


@pytest.mark.parametrize("box", [(3, 4, 3, 9), (5, 4, 3, 9), (40, 0, 50, 9), (0, 0, float("nan"), 9), (3, 3, 3, 3)])
def test_boxes_without_area_are_reported_or_refused(box, caplog):
    with caplog.at_level(logging.WARNING):
        assert sound_box(box, (20, 30), "a.jpg, annotation 7", "drop") is None
    assert "a.jpg, annotation 7" in caplog.text
    with pytest.raises(ValueError, match=r"a\.jpg, annotation 7.*no area in a picture of 30 x 20.*--on-bad drop"):
        sound_box(box, (20, 30), "a.jpg, annotation 7", "stop")


def test_masks_need_all_outlines_and_classes_must_agree():
    plain, outlined = Thing((0, 0, 1, 1), 1), Thing((0, 0, 1, 1), 1, segmentation=[[0, 0, 1, 0, 1, 1]])

    def source(*things):
        return Annotated("pictures", [Record(Path("a"), 1, (2, 2), list(things))], ["cat", "dog"], [1, 2])

    assert source(outlined).has_masks
    assert not source(outlined, plain).has_masks
    assert not source().has_masks
    assert source().with_classes(["cat", "dog"])
    with pytest.raises(ValueError, match=r"pictures has other classes.*\['cow', 'dog'\]"):
        source().with_classes(["cat", "cow"])
    with pytest.raises(ValueError, match="their order"):
        source().with_classes(["dog", "cat"])
