import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image

from tests.classification.job import fit
from tests.images import make_folder
from vig_pyg.classification import Augmentation, ClassificationConfig, DigitsData, FolderData
from vig_pyg.classification.dataset import IGNORE, ImageDataset
from vig_pyg.image_io import UnreadableImageError
from vig_pyg.preprocess import Preprocessing


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "images")


def epoch(data):
    images, labels = zip(*data.train_dataloader(), strict=True)
    return torch.cat(images), torch.cat(labels)


def test_a_seed_settles_an_epoch_whatever_the_workers(folder):
    data = FolderData(folder, image_size=32, batch_size=4, num_workers=0)
    images, labels = epoch(data)
    again = FolderData(folder, image_size=32, batch_size=4, num_workers=2)
    assert torch.equal(epoch(again)[0], images)
    again.seed = 1
    assert not torch.equal(epoch(again)[0], images)
    assert labels.bincount().tolist() == [8, 8]


def test_an_epoch_goes_on_where_it_was_left(folder):
    data = FolderData(folder, image_size=32, batch_size=4, num_workers=0)
    images, _ = epoch(data)
    later = FolderData(folder, image_size=32, batch_size=4, num_workers=0)
    data.place = (0, 3)
    later.load_state_dict(data.state_dict())
    assert torch.equal(epoch(later)[0], images[12:])


def test_a_picture_can_be_had_by_number_with_a_seed_and_not_at_all(folder):
    pictures = FolderData(folder, image_size=32, num_workers=0).train_set
    assert torch.equal(pictures[(3, 7)][0], pictures[(3, 7)][0])
    assert not torch.equal(pictures[(3, 7)][0], pictures[(3, 8)][0])
    nothing, label = pictures[None]
    assert nothing.shape == (3, 32, 32)
    assert not nothing.any()
    assert label == IGNORE


def test_the_cache_holds_pictures_and_does_not_change_scores(folder):
    plain = FolderData(folder, image_size=16, num_workers=0)
    held = FolderData(folder, image_size=16, num_workers=0, cache=20)
    held.setup("fit")
    held.setup("fit")
    for path in folder.glob("*/*/*"):
        path.unlink()
    assert {min(source.shape[:2]) for source in held.train_set.sources} == {20}
    assert held.train_set[0][0].shape == (3, 16, 16)
    make_folder(folder.with_name("again")).rename(folder.with_name("files"))
    for path, new in zip(plain.val_set.sources, sorted(folder.with_name("files").glob("val/*/*")), strict=True):
        Image.open(new).save(path)
    for i in range(len(plain.val_set)):
        assert torch.equal(held.val_set[i][0], plain.val_set[i][0])


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[:3000])
    (tmp_path / "half.npy").write_bytes(b"\x93NUMPY")
    np.save(tmp_path / "gray.npy", np.zeros((9, 9), np.uint8))
    names = ["half.png", "half.npy", "gray.npy", "none.png"]
    images = ImageDataset([str(tmp_path / name) for name in names], [0] * 4, Preprocessing(image_size=8))
    for i, reason in enumerate(["damaged or cut short", "damaged or cut short", r"Expected an array \(height"]):
        with pytest.raises(UnreadableImageError, match=rf"{names[i]} cannot be read as an image \({reason}.*drop\)\.$"):
            images[i]
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        images[3]
    with pytest.raises(UnreadableImageError, match=r"half\.png cannot be read"):
        images.hold(images.transform)
    assert images.image(2).shape == (9, 9)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_cache_keeps_transparency(tmp_path, channels):
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 4), dtype=np.uint8)
    for part in ("train", "val"):
        for i, name in enumerate("ab"):
            (tmp_path / part / name).mkdir(parents=True)
            Image.fromarray(pixels + np.uint8(i)).save(tmp_path / part / name / "0.png")
    options = {"image_size": 16, "in_channels": channels, "augmentation": Augmentation(crop=None, flip=0)}
    plain, held = FolderData(tmp_path, **options), FolderData(tmp_path, cache=20, **options)
    held.setup("fit")
    assert held.train_set.sources[0].shape[:2] == (20, 30)
    image, kept = plain.train_set[0][0], held.train_set[0][0]
    assert (image - kept).abs().mean() < 0.1  # twice resized is not the same, but alike


def test_wrong_options_are_refused(folder):
    with pytest.raises(ValueError, match="batch_size"):
        DigitsData(batch_size=1)
    with pytest.raises(ValueError, match="fewer than one batch"):
        FolderData(folder, batch_size=64).train_dataloader()
    with pytest.raises(ValueError, match="cache=10 pixels is less than image_size=32"):
        FolderData(folder, image_size=32, cache=10)


def test_workers_end_with_the_run_whatever_goes_wrong(folder, tmp_path):
    (folder / "train" / "red" / "3.png").write_bytes(b"no image")
    data = FolderData(folder, image_size=32, batch_size=4, num_workers=2)
    options = {"depth": 1, "channels": 16}
    with pytest.raises(ValueError, match=r"red/3\.png cannot be read as an image"):
        fit(
            data,
            tmp_path / "run",
            model="vig_micro",
            options=options,
            recipe=ClassificationConfig(epochs=1),
            progress=False,
        )
    assert not multiprocessing.active_children()


def test_workers_outlive_a_signal_of_a_scheduler_but_not_their_process(folder):
    data = FolderData(folder, image_size=32, batch_size=4, num_workers=1)
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    (worker,) = multiprocessing.active_children()
    worker.terminate()
    assert len(list(batches)) == 3 and worker.is_alive()
    over = loader.worker_init_fn.args[0]
    over.value = True
    try:
        worker.terminate()
        worker.join(60)
    finally:
        over.value = False
    assert worker.exitcode == 0
