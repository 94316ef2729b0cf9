import itertools
import logging
import os
import signal

import numpy as np
import pytest
import yaml

from tests.classification.job import NETWORK
from tests.classification.readers.mnist import write_mnist
from tests.classification.readers.shards import from_folders, sample, write_tar
from tests.cli.common import fails
from tests.images import BROKEN, ODD, make_folder, make_odd
from vig_pyg.classification import load_config, load_data
from vig_pyg.classification.module import Classifier
from vig_pyg.classification.readers import READERS, Collection, Part, register_reader
from vig_pyg.cli import main

NAMES = ["blue", "red"]
QUICK = [
    "--epochs",
    "2",
    "--batch-size",
    "4",
    "--image-size",
    "16",
    "--num-workers",
    "0",
    "--model",
    "vig_micro",
    "--quiet",
]
QUICK += [f"--options.{key}={value}" for key, value in NETWORK.items()]


def load(data, **values):
    small = {"image_size": 24, "batch_size": 4, "num_workers": 0}
    return load_data(load_config("scratch", ("test", {"data": str(data), **small, **values})))


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "images")


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("values", [{}, {"in_channels": 1}, {"cache": 32}, {"crop_pct": 0.8, "on_bad": "drop"}])
def test_shards_are_the_data_of_the_folder_they_were_made_of(tmp_path, folder, names, values):
    shards = from_folders(folder, tmp_path / "shards", names, shards=3)
    if names:
        (shards / "classnames.txt").write_text("\n".join(names))
    found, want = load(f"wds/{shards}", **values), load(folder, **values)
    assert found.class_names == want.class_names == NAMES and found.title == "shards"
    for data in (found, want):
        data.setup("fit")
    for one, two in ((found.train_set, want.train_set), (found.val_set, want.val_set)):
        assert one.labels == two.labels and len(one) == len(two)
        for i in range(len(one)):
            assert (one[i, 3][0] == two[i, 3][0]).all()  # with the same random changes


def test_data_without_parts_is_divided_as_a_folder_is(tmp_path, folder, caplog):
    shards = from_folders(folder, tmp_path / "shards", None, part_of=lambda part, i: f"{part[0]}/{i}.tar")
    data = load(f"wds/{shards}")
    assert (len(data.train_set), len(data.val_set)) == (19, 5) and sorted(set(data.val_set.labels)) == [0, 1]
    assert "is not divided: a fixed, stratified fifth" in caplog.text
    again = load(f"wds/{shards}")
    assert [*map(str, again.val_set.sources)] == [*map(str, data.val_set.sources)]


def test_parts_may_be_named(tmp_path, folder, caplog):
    shards = from_folders(folder, tmp_path / "shards", NAMES, shards=4)
    data = load(f"wds/{shards}", train_split="train-{1..2}.tar", val_split="train-[03].tar")
    assert len(data.train_set) == len(data.val_set) == 8
    with pytest.raises(ValueError, match="trained and validated on the same part, 'val'"):
        load(f"wds/{shards}", train_split="val")
    with pytest.raises(ValueError, match="has no part 'eval'"):
        load(f"wds/{shards}", val_split="eval")
    (shards / "train-0.tar").rename(shards / "other.tar")
    for i in (1, 2, 3):
        (shards / f"train-{i}.tar").unlink()
    with pytest.raises(ValueError, match="has no part for training; it has 'val': name one"):
        load(f"wds/{shards}")


def test_probable_mistakes_are_said(tmp_path, folder, caplog):
    shards = from_folders(folder, tmp_path / "shards", None, shards=1)
    copied = sample("copy", (folder / "train" / "red" / "2.png").read_bytes(), "red")
    write_tar(shards / "val-9.tar", copied)
    (shards / "classnames.txt").write_text("blue\nred\ngreen\n")
    with pytest.raises(ValueError, match="has the label blue, but there are 3 classes"):
        load(f"wds/{shards}")
    (shards / "classnames.txt").unlink()
    with caplog.at_level(logging.WARNING):
        load(f"wds/{shards}")
    assert "1 of 9 validation images of wds/" in caplog.text and "val-9.tar: copy.png of " in caplog.text
    collection = Collection("few", [*NAMES, "green"], {part: lambda: Part(["a.png"], [1]) for part in ("train", "val")})
    register_reader("few")(lambda *_: collection)
    try:
        load("few/x")
    finally:
        READERS.remove("few")
    assert "few/x has no training images of 2 of 3 classes (blue, green)" in caplog.text


def test_broken_images_stop_or_are_left_out(tmp_path, folder, caplog):
    odd = make_odd(tmp_path / "odd")
    files = sorted(odd.iterdir())
    shards = from_folders(folder, tmp_path / "shards", None)
    made = (sample(f"{i:02}", file.read_bytes(), "red", file.suffix[1:]) for i, file in enumerate(files))
    write_tar(shards / "train-9.tar", itertools.chain.from_iterable(made))
    data = load(f"wds/{shards}", on_bad="drop", image_size=8)
    empty = next(i for i, file in enumerate(files) if file.name == "zero.jpg")  # other Pillows write other files
    assert len(data.train_set) == 16 + len(ODD)
    assert (
        f"{len(BROKEN)} of {24 + len(BROKEN) + len(ODD)} images are left out:\n  " in caplog.text
        and f"train-9.tar: {empty:02}.jpg: the file is empty" in caplog.text
    )
    whole = load(f"wds/{shards}", image_size=8)
    first = next(i for i, file in enumerate(files) if file.name in BROKEN)
    with pytest.raises(
        ValueError, match=r"train-9\.tar: .* cannot be read as an image .* use on_bad='drop' \(--on-bad drop\)"
    ):
        whole.train_set[16 + first]


def test_names_and_values_of_other_data(folder):
    for key in ("train_split", "val_split", "input_key", "target_key"):
        for data in (folder, "digits"):
            with pytest.raises(ValueError, match=rf"{key} applies only to data with the prefix .*wds/"):
                load(data, **{key: "x"}, **({"in_channels": 1} if data == "digits" else {}))


def trained(out, data, *more):
    assert main(["train", "--data", str(data), "--out", str(out), *QUICK, *more]) == 0
    return (out / "model.safetensors").read_bytes(), (out / "metrics.csv").read_bytes()


def test_a_run_is_that_of_the_folder_and_resumes_in_the_middle_of_an_epoch(
    tmp_path, folder, monkeypatch, capsys, caplog
):
    shards = from_folders(folder, tmp_path / "shards", NAMES)
    (shards / "classnames.txt").write_text("\n".join(NAMES))
    want = trained(tmp_path / "whole", folder)
    assert trained(tmp_path / "run", f"wds/{shards}") == want
    original, calls, out = Classifier.training_step, [], tmp_path / "stopped"

    def signalled(*args):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", signalled)
        assert main(["train", "--data", f"wds/{shards}", "--out", str(out), *QUICK]) == 143
    assert main(["train", "--resume", str(out), "--num-workers", "1", "--quiet"]) == 0
    assert ((out / "model.safetensors").read_bytes(), (out / "metrics.csv").read_bytes()) == want
    capsys.readouterr()
    table = tmp_path / "table.csv"
    assert (
        main(["evaluate", str(out), f"wds/{shards}", "--csv", str(table), "--device", "cpu", "--num-workers", "0"]) == 0
    )
    assert "8 images, all classes" in capsys.readouterr().out
    write_tar(shards / "val-9.tar", [("lonely.png", b"")])
    assert main(["evaluate", str(out), f"wds/{shards}", "--device", "cpu", "--num-workers", "0"]) == 1
    assert "8 images, all classes" in capsys.readouterr().out
    assert "1 of 9 samples is left out: " in caplog.text and "lonely has no label" in caplog.text
    more = ["--csv", shards / "val-0.tar", "--overwrite"]
    assert "would replace" in fails(capsys, "evaluate", out, f"wds/{shards}", *more)
    assert "has no part 'test'" in fails(capsys, "evaluate", out, f"wds/{shards}", "--split", "test")
    assert "--split applies only to data with the prefix" in fails(
        capsys, "evaluate", out, folder / "val", "--split", "x"
    )


def test_torchvisions_data_are_trained_on_and_evaluated(tmp_path, capsys):
    write_mnist(tmp_path / "data", "MNIST", np.random.default_rng(0))
    where, one = ["--root", str(tmp_path / "data")], ["--epochs", "1", "--batch-size", "2", "--in-channels", "1"]
    trained(tmp_path / "run", "torch/mnist", *where, *one)
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (config["data"], config["in_channels"]) == ("torch/mnist", 1)
    assert (
        main(["evaluate", str(tmp_path / "run"), "torch/MNIST", *where, "--device", "cpu", "--num-workers", "0"]) == 0
    )
    assert "4 images" in capsys.readouterr().out


def test_a_strangers_run_downloads_nothing(tmp_path, capsys, monkeypatch):
    run, seen = tmp_path / "run", []
    run.mkdir()
    register_reader("remote")(lambda name, options: seen.append(options.download) or Collection(name, [], {}))
    try:
        (run / "config.yaml").write_text("data: remote/x\nin_channels: 3\nimage_size: 16\n")
        assert "no part for training" in fails(capsys, "train", "--resume", run)
        assert "no part for training" in fails(capsys, "train", "--resume", run, "--data", "remote/x")
        assert "has another --data" in fails(capsys, "train", "--resume", run, "--data", "remote/y")
        assert "no part for training" in fails(capsys, "train", "--data", "remote/x", "--out", tmp_path / "new")
    finally:
        READERS.remove("remote")
    assert seen == [False, True, True]
