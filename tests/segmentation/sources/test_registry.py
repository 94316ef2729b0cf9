import pytest

from tests.segmentation.scenes import make_ade20k, make_cityscapes, make_folder, make_panoptic, make_voc
from vig_pyg.segmentation.records import SegmentationDataset
from vig_pyg.segmentation.sources import FORMATS, list_formats, open_source, register_format


def test_a_format_of_one_s_own_is_one_function(tmp_path):
    folder = make_folder(tmp_path / "data")

    @register_format("stripes", form="FILE.stripes", recognizes=lambda path, _: path.suffix == ".stripes")
    def read(path, part):
        return SegmentationDataset(f"{path}:{part}", open_source(folder).records, ["a", "b", "c"])

    try:
        (tmp_path / "my.stripes").touch()
        assert open_source(f"{tmp_path}/my.stripes:some").title.endswith("my.stripes:some")
        assert list_formats()[-1] == "stripes"
        with pytest.raises(ValueError, match="already"):
            register_format("stripes", form="", recognizes=lambda path, part: True)(read)
    finally:
        FORMATS.remove("stripes")


def test_what_no_format_recognizes_lists_them_all(tmp_path):
    with pytest.raises(ValueError, match=r"folder: .*voc: .*ade20k: .*cityscapes: .*coco: "):
        open_source(tmp_path)
    with pytest.raises(FileNotFoundError, match="no file or folder"):
        open_source(tmp_path / "none:train")


def test_classes_are_matched_by_name(tmp_path):
    folder = make_folder(tmp_path / "data")
    names = ["tree", "car", "sky", "road"]
    found, plain = open_source(folder, classes=names), open_source(folder)
    assert found.class_names == names
    table = [2, 3, 0]
    for one, other in zip(found.records, plain.records, strict=True):
        labels, want = one.mask.read(), other.mask.read()
        assert ((labels == 255) == (want == 255)).all()
        assert all((labels[want == i] == new).all() for i, new in enumerate(table))
    with pytest.raises(ValueError, match=r"classes that are not among those.*'tree'"):
        open_source(folder, classes=["sky", "road"])


@pytest.mark.parametrize(
    ("make", "part", "other"),
    [
        (make_folder, "", ()),
        (make_voc, ":train", ("unused.jpg", "000003.jpg", "000003.png", "val.txt")),
        (make_ade20k, ":training", ("validation",)),
        (make_cityscapes, ":train", ("lindau", "instanceIds", "color", "polygons")),
        (make_panoptic, "", ()),
    ],
)
def test_every_file_of_a_data_set_is_known(tmp_path, make, part, other):
    """Results must not replace them: images, masks, lists, names of classes."""
    found = open_source(f"{make(tmp_path / 'data')}{part}")
    there = {path for path in (tmp_path / "data").rglob("*") if path.is_file()}
    wanted = {path for path in there if not any(word in str(path.relative_to(tmp_path)) for word in other)}
    assert len(wanted) > 4 and wanted <= set(found.files)
    assert set(found.with_classes([*found.class_names, "new"]).files) == set(found.files)
