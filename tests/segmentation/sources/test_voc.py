import pytest

from tests.segmentation.scenes import make_voc
from vig_pyg.segmentation.sources import open_source
from vig_pyg.segmentation.sources.voc import VOC_CLASSES


def test_a_list_names_its_images(tmp_path):
    root = make_voc(tmp_path / "VOC2012")
    train, val = open_source(f"{root}:train"), open_source(f"{root}:val")
    assert [len(part.records) for part in (train, val)] == [3, 1]
    assert train.class_names == list(VOC_CLASSES) and len(VOC_CLASSES) == 21
    for record in train.records:
        assert record.path.stem == record.mask.path.stem
        assert set(record.mask.read().flatten().tolist()) <= {0, 1, 2, 255}
    (root / "classes.txt").write_text("a\nb\nc\n")
    assert open_source(f"{root}:train").class_names == ["a", "b", "c"]


def test_the_classes_are_torchvision_s():
    from torchvision.models.segmentation import FCN_ResNet50_Weights

    theirs = FCN_ResNet50_Weights.DEFAULT.meta["categories"]
    assert ["background", *theirs[1:]] == list(VOC_CLASSES)


def test_what_is_missing_is_named(tmp_path):
    root = make_voc(tmp_path / "VOC2012")
    with pytest.raises(FileNotFoundError, match="no list 'test': choose one of train, val"):
        open_source(f"{root}:test")
    (root / "SegmentationClass" / "2007_000000.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"2007_000000\.jpg"):
        open_source(f"{root}:train")
    (root / "JPEGImages" / "2007_000003.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1 of 1 image of the list 'val' is not in .*JPEGImages: 2007_000003\."
    ):
        open_source(f"{root}:val")
    (root / "ImageSets" / "Segmentation" / "val.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"val\.txt contains no image name"):
        open_source(f"{root}:val")
