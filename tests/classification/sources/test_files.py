import csv
import logging

import numpy as np
import pytest

from tests.images import make_folder
from vig_pyg.classification import CsvData, FolderData


def test_a_folder(tmp_path):
    data = FolderData(make_folder(tmp_path / "images"), image_size=32, batch_size=4, num_workers=0)
    assert data.class_names == ["blue", "red"]
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (4, 3, 32, 32)
    assert len(data.val_set) == 8
    assert labels.shape == (4,)


def test_a_folder_in_gray_and_one_of_arrays(tmp_path):
    root = make_folder(tmp_path / "images")
    assert FolderData(root, image_size=32, in_channels=1).train_set[0][0].shape == (1, 32, 32)
    for path in root.glob("*/*/*.png"):
        np.save(path.with_suffix(".npy"), np.random.default_rng(0).random((20, 30, 6), dtype=np.float32))
        path.unlink()
    data = FolderData(root, image_size=16, in_channels=6)
    assert len(data.train_set) == 16
    assert data.train_set[0][0].shape == data.val_set[0][0].shape == (6, 16, 16)


@pytest.mark.parametrize("missing", ["", "train", "val"])
def test_a_missing_part_is_named(tmp_path, missing):
    root = make_folder(tmp_path / "images")
    (root / missing).rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=missing or "does not exist"):
        FolderData(root)


def test_a_part_without_pictures_is_refused(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match="needs one folder of images for each class"):
        FolderData(tmp_path)
    (tmp_path / "train" / "blue").mkdir()
    with pytest.raises(ValueError, match="needs one folder of images for each class"):
        FolderData(tmp_path)


def test_classes_that_differ_are_named(tmp_path):
    root = make_folder(tmp_path / "images")
    (root / "val" / "red").rename(root / "val" / "green")
    with pytest.raises(
        ValueError, match=r"1 folder that is not a class in .*: green\. .*Only one of the two has green, red\."
    ):
        FolderData(root)


def test_a_broken_picture_stops_or_is_left_out(tmp_path, caplog):
    root = make_folder(tmp_path / "images")
    (root / "train" / "red" / "3.png").write_bytes(b"no image")
    stopping = FolderData(root, image_size=32)
    broken = next(i for i, path in enumerate(stopping.train_set.sources) if path.endswith("red/3.png"))
    with pytest.raises(ValueError, match=r"red/3\.png"):
        stopping.train_set[broken]
    with caplog.at_level(logging.WARNING):
        assert len(FolderData(root, on_bad="drop").train_set) == 15
    assert "red/3.png" in caplog.text
    with pytest.raises(ValueError, match="on_bad"):
        FolderData(root, on_bad="ignore")


def write_table(path, rows, columns=("path", "label")):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([columns, *rows])
    return path


class TestCsv:
    @pytest.fixture
    def rows(self, tmp_path):
        root = make_folder(tmp_path / "images")
        paths = sorted(root.glob("*/*/*.png"))
        return [(path.relative_to(tmp_path), {"blue": 10, "red": 9}[path.parent.name]) for path in paths]

    def test_a_fifth_is_held_out_always_the_same(self, tmp_path, rows):
        table = write_table(tmp_path / "all.csv", rows)
        data = CsvData(table, image_size=32, batch_size=4, num_workers=0)
        assert data.class_names == ["9", "10"]
        assert len(data.train_set) == 19
        assert sorted(set(data.val_set.labels)) == [0, 1]
        assert not set(data.train_set.sources) & set(data.val_set.sources)
        assert CsvData(table).val_set.sources == data.val_set.sources
        image, label = data.val_set[0]
        assert image.shape == (3, 32, 32)
        assert ("red" in data.val_set.sources[0]) == (label == 0)

    def test_the_table_says_what_is_held_out(self, tmp_path, rows):
        split = [(path, label, path.parts[1]) for path, label in rows]
        data = CsvData(write_table(tmp_path / "all.csv", split, ("path", "label", "split")))
        assert (len(data.train_set), len(data.val_set)) == (16, 8)
        assert all("/val/" in source for source in data.val_set.sources)

    def test_what_is_wrong_is_said(self, tmp_path, rows):
        with pytest.raises(FileNotFoundError, match=r"none\.csv"):
            CsvData(tmp_path / "none.csv")
        with pytest.raises(ValueError, match=r"needs the columns path, label .* got \['file', 'label'\]"):
            CsvData(write_table(tmp_path / "a.csv", rows, ("file", "label")))
        with pytest.raises(ValueError, match=r"needs train and val, got \['test'\]"):
            CsvData(write_table(tmp_path / "b.csv", [(*row, "test") for row in rows], ("path", "label", "split")))
        with pytest.raises(ValueError, match="cells, but the header has"):
            CsvData(write_table(tmp_path / "c.csv", [(*row, "more") for row in rows]))
