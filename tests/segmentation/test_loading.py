import logging
import shutil

import pytest
import torch

from tests.detection.scenes import change, make_coco
from tests.segmentation.common import fit, plan
from tests.segmentation.scenes import CLASSES, make_folder
from vig_pyg import pvig_micro
from vig_pyg.segmentation.loading import load_data, make_segmenter, read_run, with_epochs
from vig_pyg.segmentation.records import read_mask


def test_the_images_of_a_configuration(tmp_path):
    train, val = make_folder(tmp_path / "train", count=5), make_folder(tmp_path / "val", count=3, seed=1)
    data = load_data(plan(train, val, image_size=20, crop_size=(16, 24)))
    assert (len(data.train_set), len(data.val_set), data.class_names) == (5, 3, CLASSES)
    assert data.class_counts.sum() > 0
    images, labels = next(iter(data.train_dataloader()))
    assert images.shape == (2, 3, 16, 24) and labels.shape == (2, 16, 24)


def test_steps_are_rounded_up_to_epochs(tmp_path):
    train = make_folder(tmp_path / "train", count=5)
    for steps, epochs in ((1, 1), (2, 1), (3, 2), (8, 4), (9, 5)):
        config = plan(train, steps=steps, epochs=7)
        assert with_epochs(config, load_data(config)).epochs == epochs
    config = plan(train, epochs=7)
    assert with_epochs(config, load_data(config)).epochs == 7
    last = fit(plan(train, steps=3), tmp_path / "run")
    assert last["epoch"] == 2 and last["lr"] == pytest.approx(0, abs=1e-9)
    assert read_run(tmp_path / "run").epochs == 2


def test_the_seed_decides_the_weights():
    first, again, other = (make_segmenter(plan("a", seed=seed), 3) for seed in (1, 1, 2))
    same = [torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True)]
    assert all(same)
    assert not all(torch.equal(p, q) for p, q in zip(first.parameters(), other.parameters(), strict=True))


def test_a_resumed_run_reads_no_initial_weights(tmp_path):
    pvig_micro(num_classes=3).save_pretrained(tmp_path / "model")
    file = str(tmp_path / "model" / "model.safetensors")
    config = plan("a", options={"weights_backbone": file, "position": "grid"})
    assert make_segmenter(config, 3).body.config.position == "grid"
    (tmp_path / "model" / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        make_segmenter(config, 3)
    assert make_segmenter(config, 3, pretrained=False)


def test_copies_and_similar_classes_are_logged(tmp_path, caplog):
    names = ["road", "Road", "tree"]
    train = make_folder(tmp_path / "train", classes=names)
    val = make_folder(tmp_path / "val", seed=1, classes=names)
    shutil.copy(train / "images" / "0.png", val / "images" / "1.png")
    shutil.copy(train / "masks" / "0.png", val / "masks" / "1.png")
    with caplog.at_level(logging.WARNING):
        load_data(plan(train, val))
    assert "nearly equal names, 'road' and 'Road'" in caplog.text
    assert "1 of 4 images" in caplog.text and "1.png" in caplog.text


def test_no_run_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config\.yaml"):
        read_run(tmp_path)


@pytest.mark.parametrize("part", ["train", "val"])
def test_an_unusable_outline_stops_a_run_unless_it_may_be_dropped(tmp_path, part):
    sources = {name: make_coco(tmp_path / name, count=2, seed=i) for i, name in enumerate(("train", "val"))}
    change(sources[part], lambda content: content["annotations"][0].update(segmentation=[[1, 2, 3, 4]]))
    with pytest.raises(ValueError, match=r"annotation 1: the outline cannot be used.*--on-bad drop"):
        load_data(plan(sources["train"], sources["val"]))
    data = load_data(plan(sources["train"], sources["val"], on_bad="drop"))
    source = (data.train_set if part == "train" else data.val_set).source
    assert (read_mask(source.records[0], 3) == 255).any()


def test_the_faults_of_both_parts_are_told_at_once(tmp_path):
    train, val = (make_folder(tmp_path / name, count=3, seed=i) for i, name in enumerate(("train", "val")))
    both = "The training and the validation images cannot be used:\n  "
    with pytest.raises(FileNotFoundError) as error:
        load_data(plan(tmp_path / "trian", tmp_path / "vla"))
    assert str(error.value) == (
        f"{both}There is no file or folder {tmp_path}/trian. Did you mean {train}?\n  "
        f"There is no file or folder {tmp_path}/vla. Did you mean {val}?"
    )
    with pytest.raises(FileNotFoundError, match=r"^There is no file or folder .*trian"):
        load_data(plan(tmp_path / "trian", tmp_path / "trian"))  # once
    for part in (train, val):
        (part / "images" / "0.png").write_text("text")
    (val / "masks" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError) as error:
        load_data(plan(train, val))
    lines = str(error.value).split("\n  ")
    assert lines[0] == both.strip() and lines[1].startswith(f"{train}/images/0.png cannot be read: not an image")
    assert lines[2].startswith("2 of 3 images of ") and f"{val}/images/0.png" in lines[3] and "1.png" in lines[4]
    for part in (train, val):
        (part / "masks" / "2.png").unlink()
    with pytest.raises(FileNotFoundError) as error:
        load_data(plan(train, val))
    assert str(error.value).startswith(both) and all(
        f"{part}/images/2.png" in str(error.value) for part in (train, val)
    )
