import pytest

from tests.segmentation.scenes import make_folder
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
