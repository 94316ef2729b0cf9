import logging

import numpy as np
import pytest
from PIL import Image

from tests.segmentation.scenes import CLASSES, make_folder
from vig_pyg.segmentation.sources import open_source
from vig_pyg.segmentation.sources.folders import read_classes


@pytest.mark.parametrize("indexed", [False, True])
def test_images_and_masks_of_one_name_belong_together(tmp_path, indexed):
    found = open_source(make_folder(tmp_path / "data", indexed=indexed))
    assert found.class_names == CLASSES and len(found.records) == 4
    for record in found.records:
        assert record.path.stem == record.mask.path.stem
        with Image.open(record.path) as image:
            assert record.mask.read().shape == (image.height, image.width)


def test_the_classes_may_be_in_the_folder_above(tmp_path, monkeypatch):
    make_folder(tmp_path / "train")
    (tmp_path / "train" / "classes.txt").rename(tmp_path / "classes.txt")
    assert open_source(tmp_path / "train").class_names == CLASSES
    monkeypatch.chdir(tmp_path / "train")
    assert open_source(".").class_names == CLASSES
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no classes\.txt"):
        open_source(".")


def test_folders_in_folders(tmp_path):
    folder = make_folder(tmp_path / "data")
    for part in ("images", "masks"):
        (folder / part / "a").mkdir()
        (folder / part / "1.png").rename(folder / part / "a" / "0.png")
    assert len(open_source(folder).records) == 4


@pytest.mark.parametrize("number", range(4))
def test_an_image_without_a_mask_is_named(tmp_path, number):
    folder = make_folder(tmp_path / "data")
    (folder / "masks" / f"{number}.png").unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 4 images has no mask.*images/{number}\.png"):
        open_source(folder)


def test_a_mask_without_an_image_is_logged(tmp_path, caplog):
    folder = make_folder(tmp_path / "data")
    (folder / "images" / "2.png").unlink()
    with caplog.at_level(logging.WARNING):
        assert len(open_source(folder).records) == 3
    assert "1 mask of" in caplog.text and "2.png" in caplog.text


def test_two_files_of_one_name_are_named(tmp_path):
    folder = make_folder(tmp_path / "data")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "masks" / "1.bmp")
    with pytest.raises(ValueError, match=r"1\.bmp and .*1\.png have the same name"):
        open_source(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is empty"),
        ("a\n\nb\n", "line 2 is empty"),
        ("a\nb\na\n", "the class 'a' twice"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_wrong_lists_of_classes_are_named(tmp_path, text, message):
    path = tmp_path / "classes.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=message) as error:
        read_classes(path)
    assert "classes.txt" in str(error.value)


def test_a_mark_and_empty_lines_at_the_end_are_skipped(tmp_path):
    (tmp_path / "classes.txt").write_bytes("\ufeffsky\r\nstraße \r\n\r\n".encode())
    assert read_classes(tmp_path / "classes.txt") == ["sky", "straße"]


def test_more_classes_than_a_byte_are_refused(tmp_path):
    folder = make_folder(tmp_path / "data", classes=[f"c{i}" for i in range(256)])
    with pytest.raises(ValueError, match="has 256 classes, expected 1 to 255"):
        open_source(folder)
