import logging

import numpy as np
import pytest
from PIL import Image

from tests.pictures import make_folder
from vig_pyg.train import DigitsData, FolderData
from vig_pyg.train.data import read_image


def test_digits_are_split_in_the_same_way_always():
    first, second = DigitsData(), DigitsData()
    assert len(first.train_set) == 1347
    assert len(first.val_set) == 450
    assert first.val_set.labels == second.val_set.labels
    assert set(first.val_set.labels) == set(range(10))
    held_out = {scan.tobytes() for scan in first.val_set.sources}
    assert not held_out & {scan.tobytes() for scan in first.train_set.sources}


def test_digits_are_shifted_in_training_only():
    data = DigitsData()
    assert (data.val_set[0][0] == data.val_set[0][0]).all()
    assert (data.train_set[0][0] != data.train_set[0][0]).any()
    assert data.train_set[0][0].shape == (1, 16, 16)


def test_a_folder(tmp_path):
    data = FolderData(make_folder(tmp_path / "pictures"), image_size=32, batch_size=4, num_workers=0)
    assert data.class_names == ["blue", "red"]
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (4, 3, 32, 32)
    assert len(data.val_set) == 8
    assert labels.shape == (4,)


@pytest.mark.parametrize("missing", ["", "train", "val"])
def test_a_missing_part_is_named(tmp_path, missing):
    root = make_folder(tmp_path / "pictures")
    (root / missing).rename(tmp_path / "gone")
    with pytest.raises(FileNotFoundError, match=missing or "does not exist"):
        FolderData(root)


def test_a_part_without_pictures_is_refused(tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    with pytest.raises(ValueError, match="needs one folder of pictures for each class"):
        FolderData(tmp_path)
    (tmp_path / "train" / "blue").mkdir()
    with pytest.raises(ValueError, match="needs one folder of pictures for each class"):
        FolderData(tmp_path)


def test_classes_that_differ_are_named(tmp_path):
    root = make_folder(tmp_path / "pictures")
    (root / "val" / "red").rename(root / "val" / "green")
    with pytest.raises(ValueError, match=r"\['green', 'red'\]"):
        FolderData(root)


def test_a_broken_picture_stops_or_is_left_out(tmp_path, caplog):
    root = make_folder(tmp_path / "pictures")
    (root / "train" / "red" / "3.png").write_bytes(b"no picture")
    stopping = FolderData(root, image_size=32)
    broken = next(i for i, path in enumerate(stopping.train_set.sources) if path.endswith("red/3.png"))
    with pytest.raises(ValueError, match=r"red/3\.png"):
        stopping.train_set[broken]
    with caplog.at_level(logging.WARNING):
        assert len(FolderData(root, on_broken="skip").train_set) == 15
    assert "red/3.png" in caplog.text


def test_a_picture_cut_short_is_broken(tmp_path):
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"half\.png"):
        read_image(tmp_path / "half.png")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_image(tmp_path / "none.png")


def test_wrong_options_are_refused(tmp_path):
    root = make_folder(tmp_path / "pictures")
    with pytest.raises(ValueError, match="on_broken"):
        FolderData(root, on_broken="ignore")
    with pytest.raises(ValueError, match="batch_size"):
        DigitsData(batch_size=1)
    with pytest.raises(ValueError, match="less than one batch"):
        FolderData(root, batch_size=64).train_dataloader()
