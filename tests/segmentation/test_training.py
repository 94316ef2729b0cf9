"""Segmentation on the engine: what a run leaves, and runs that die at some moment and go on to the same bits."""

import csv
import itertools
import json
import os
import random
import signal

import pytest
import torch

from tests.processes import forked, server, torchrun
from tests.segmentation import job
from tests.segmentation.common import fit, plan
from tests.segmentation.job import run
from tests.segmentation.scenes import CLASSES, make_folder
from vig_pyg import load
from vig_pyg.engine import TrainingInterrupted
from vig_pyg.engine.checkpoint_io import read_checkpoint
from vig_pyg.segmentation.module import SegmentationModule

pytestmark = pytest.mark.usefixtures("blank_pictures")

FILES = ["README.md", "best.safetensors", "config.json", "config.yaml", "confusion.png", "curves.png", "last.ckpt",
         "metrics.csv", "model.safetensors"]  # fmt: skip


class Crash(Exception):  # noqa: N818
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("scenes") / "data", count=4)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """The run that nothing happens to."""
    out = tmp_path_factory.mktemp("whole") / "run"
    run(data, out)
    return out


def rows(folder):
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def check_same(first, second):
    for name in ("metrics.csv", "model.safetensors", "config.json"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    one, other = (read_checkpoint(folder / "last.ckpt") for folder in (first, second))
    assert all(torch.equal(tensor, other["state_dict"][key]) for key, tensor in one["state_dict"].items())
    for ours, theirs in zip(one["optimizer_states"], other["optimizer_states"], strict=True):
        for number, entries in ours["state"].items():
            assert all(torch.equal(tensor, theirs["state"][number][key]) for key, tensor in entries.items())


def at_step(patch, count, act):
    """`act` happens before the training step of that number."""
    step, calls = SegmentationModule.training_step, itertools.count(1)

    def acting(self, *args):
        if next(calls) == count:
            act()
        return step(self, *args)

    patch.setattr(SegmentationModule, "training_step", acting)


def crash():
    raise Crash


def test_a_run_leaves_its_folder(tmp_path, data):
    last = fit(plan(data, make_folder(tmp_path / "val", count=3, seed=1)), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2"]
    assert float(rows(tmp_path / "run")[-1]["val_mIoU"]) == last["val_mIoU"]
    assert {f"val_IoU_{name}" for name in CLASSES} <= last.keys()
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["task"], config["class_names"]) == ("semantic-segmentation", CLASSES)
    assert "semantic segmentation" in (tmp_path / "run" / "README.md").read_text()
    assert load(tmp_path / "run").classes == CLASSES
    with pytest.raises(FileExistsError, match=r"not overwritten.*--resume .*run continues a stopped run"):
        fit(plan(data), tmp_path / "run")


@pytest.mark.parametrize("seed", [0, 1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_crash_in_any_step_changes_nothing(tmp_path, monkeypatch, data, whole, seed):
    """With a checkpoint after each step, and with none within epochs; workers too."""
    draw = random.Random(seed)
    values = {"checkpoint_every": [None, 1, 1][seed], "num_workers": 2 * (seed == 2)}
    with monkeypatch.context() as patch:
        at_step(patch, draw.randint(3, 6), crash)
        with pytest.raises(Crash):
            run(data, tmp_path / "run", **values)
    torch.rand(7)
    run(data, tmp_path / "run", resume=True, **values)
    check_same(tmp_path / "run", whole)


@pytest.mark.parametrize("step", [1, 3])
def test_a_signal_saves_after_the_step(tmp_path, monkeypatch, data, whole, step):
    with monkeypatch.context() as patch:
        at_step(patch, step, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(TrainingInterrupted) as stop:
            run(data, tmp_path / "run")
    assert stop.value.signum == signal.SIGTERM
    run(data, tmp_path / "run", resume=True)
    check_same(tmp_path / "run", whole)


def killed(data, out, values, at):
    """What the process does: it is killed in the training step of that number."""
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        run(data, out, resume=(out / "config.yaml").exists(), **values)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_has_the_bits_of_one_without_a_kill(tmp_path, data, whole, workers):
    draw = random.Random(workers)
    context = server()
    values = {"checkpoint_every": 1, "num_workers": workers}
    for _ in range(2):  # twice in the same run, in the middle of an epoch
        process = context.Process(target=killed, args=(data, tmp_path / "run", values, draw.choice([2, 3])))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    run(data, tmp_path / "run", resume=True, **values)
    check_same(tmp_path / "run", whole)


@pytest.mark.parametrize("start", [forked, pytest.param(torchrun, marks=pytest.mark.slow)])
def test_two_processes_are_one_with_the_same_global_batch(tmp_path, start):
    """The scores are of five held-out images, which do not divide evenly; in float64, where rounding is small."""
    data = make_folder(tmp_path / "data", count=4)
    val = make_folder(tmp_path / "val", count=5, seed=1)
    values = {"val": str(val), "options": {"head_dropout": 0.0}, "sync_bn": True, "accelerator": "cpu", "epochs": 2,
              "evaluate_every": 1, "precision": "64-true", "dice": 0.5, "class_weights": "sqrt"}  # fmt: skip
    one, two = run(data, tmp_path / "one", **values), start(job, data, tmp_path / "two", **values)
    assert one.keys() == two.keys() and one["val_mIoU"] > 0
    assert two == pytest.approx(one, rel=1e-6)
    assert sorted(os.listdir(tmp_path / "two")) == sorted(os.listdir(tmp_path / "one"))


@pytest.mark.parametrize(
    "values",
    [{"ema": 0.9, "keep": "best"}, {"freeze": True}, {"layer_decay": 0.5}, {"accumulate": 2}, {"loss": "ohem"},
     {"segmenter": "upernet", "class_weights": "inverse", "dice": 1.0, "image_size": 24}],
)  # fmt: skip
def test_options_of_a_run(tmp_path, data, values):
    last = run(data, tmp_path / "run", options={}, **{"epochs": 2, "evaluate_every": 1, **values})
    assert last["train_loss"] > 0 and 0 < last["val_mIoU"] <= 1
    assert load(tmp_path / "run").preprocessing.image_size == values.get("image_size")


def test_accumulated_parts_are_the_batch(tmp_path, data):
    """Without batch statistics of the parts; each loss is a mean over images."""
    values = {"options": {"norm": "frozen", "head_dropout": 0.0}, "precision": "64-true", "evaluate_every": 1,
              "loss": "ohem", "dice": 0.5, "class_weights": "sqrt"}  # fmt: skip
    one = run(data, tmp_path / "one", **values)
    two = run(data, tmp_path / "two", accumulate=2, **values)
    assert two == pytest.approx(one, rel=1e-6)


def test_a_crop_without_a_label_does_not_end_the_run(tmp_path):
    """Nearly everything is beyond the border, or ignored."""
    data = make_folder(tmp_path / "data", count=4, size=(8, 8))
    last = fit(plan(data, crop_size=(64, 64), batch_size=1, epochs=3), tmp_path / "run")
    assert last["train_loss"] == last["train_loss"]


def test_bfloat16_learns_the_same(tmp_path, data):
    losses = [
        fit(plan(data, epochs=1, precision=precision), tmp_path / precision)["train_loss"]
        for precision in ("32-true", "bf16-mixed")
    ]
    assert losses[0] != losses[1] and losses[1] == pytest.approx(losses[0], rel=0.05)


def test_other_classes_than_at_the_beginning(tmp_path):
    data, out = make_folder(tmp_path / "data", count=4), tmp_path / "run"
    fit(plan(data, epochs=1), out)
    (data / "classes.txt").write_text("sky\nroad\nbush\n")
    with pytest.raises(ValueError, match=r"classes of .* differ from those with which the run in .*run started"):
        fit(plan(data, epochs=1), out, resume=True)


def test_learns_bands_of_color(trained):
    assert float(rows(trained[0])[-1]["val_mIoU"]) > 0.6
