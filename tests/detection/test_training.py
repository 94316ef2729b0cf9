"""Detectors on the engine: what a run leaves, and runs that die at some moment and go on to the same bits."""

import csv
import itertools
import json
import os
import random
import signal
import tempfile
from pathlib import Path

import pytest
import torch

from tests.detection import job
from tests.detection.common import fit, plan
from tests.detection.job import DRAWS, run
from tests.detection.scenes import add_picture, change, make_coco
from tests.processes import forked, server, torchrun
from vig_pyg import _requirements
from vig_pyg.detection.config import Augmentation
from vig_pyg.detection.load import load_detector
from vig_pyg.detection.loading import load_data
from vig_pyg.detection.module import DetectorModule
from vig_pyg.detection.transform import DetectionTransform
from vig_pyg.engine import TrainingInterrupted
from vig_pyg.engine.checkpoint_io import read_checkpoint

pytestmark = pytest.mark.usefixtures("blank_pictures")

DETECTORS = ["retinanet", "fasterrcnn", "maskrcnn"]
FILES = ["README.md", "best.safetensors", "config.json", "config.yaml", "curves.png", "last.ckpt", "metrics.csv",
         "model.safetensors"]  # fmt: skip


class Crash(Exception):  # noqa: N818
    """Stands for the end of the process."""


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    return make_coco(tmp_path_factory.mktemp("scenes") / "data", count=4)


@pytest.fixture(scope="module")
def wholes(coco, tmp_path_factory):
    """The run of each detector that nothing happens to, made when it is first asked for."""
    root, made = tmp_path_factory.mktemp("whole"), {}

    def get(detector):
        if detector not in made:
            run(coco, root / detector, detector=detector)
            made[detector] = root / detector
        return made[detector]

    return get


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
    step, calls = DetectorModule.training_step, itertools.count(1)

    def acting(self, *args):
        if next(calls) == count:
            act()
        return step(self, *args)

    patch.setattr(DetectorModule, "training_step", acting)


def crash(error=Crash):
    def act():
        raise error

    return act


def test_a_run_leaves_its_folder(tmp_path, coco):
    last = fit(plan(coco, make_coco(tmp_path / "val", count=3, seed=1)), tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2"]
    assert float(rows(tmp_path / "run")[-1]["val_AP50"]) == last["val_AP50"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["class_names"], config["category_ids"]) == (["blue", "red"], [3, 7])
    assert "An object detector" in (tmp_path / "run" / "README.md").read_text()
    assert load_detector(tmp_path / "run").class_names == ["blue", "red"]
    with pytest.raises(FileExistsError, match=r"not overwritten.*--resume .*run continues a stopped run"):
        fit(plan(coco), tmp_path / "run")


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_crash_in_any_step_changes_nothing(tmp_path, monkeypatch, coco, wholes, detector, seed):
    """With a checkpoint after each step, and with none within epochs; workers too."""
    draw = random.Random(f"{detector} {seed}")
    values = {"detector": detector, "checkpoint_every": draw.choice([None, 1]), "num_workers": 2 * (seed == 1)}
    with monkeypatch.context() as patch:
        at_step(patch, draw.randint(3, 6), crash())
        with pytest.raises(Crash):
            run(coco, tmp_path / "run", **values)
    torch.rand(7)
    run(coco, tmp_path / "run", resume=True, **values)
    check_same(tmp_path / "run", wholes(detector))


#: All that the training on COCO can have at once.
RECIPE = {
    "augmentation": Augmentation(flip="hv", color=0.2, jitter=(0.3, 1.5), jitter_size=80, copy_paste=0.7),
    "aspect_grouping": True,
    "accumulate": 2,
    "ema": 0.9,
    "layer_decay": 0.9,
    "schedule": "step",
    "options": {**DRAWS, "min_size": [48, 56, 64]},
    "epochs": 2,
    "evaluate_every": 2,
}


@pytest.mark.parametrize(
    ("detector", "workers"),
    [("retinanet", 0), ("maskrcnn", 2)]
    + [pytest.param(d, w, marks=pytest.mark.slow) for d, w in (("retinanet", 2), ("fasterrcnn", 0), ("maskrcnn", 0))],
)
def test_the_whole_recipe_of_coco_goes_on_exactly(tmp_path, monkeypatch, coco, detector, workers):
    """Stopped by a signal in a random step, also between the two parts of a batch."""
    draw, values = random.Random(f"{detector} {workers}"), {**RECIPE, "detector": detector, "num_workers": workers}
    run(coco, tmp_path / "whole", **values)
    with monkeypatch.context() as patch:
        at_step(patch, draw.randint(1, 7), lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(TrainingInterrupted):
            run(coco, tmp_path / "run", **values)
    run(coco, tmp_path / "run", resume=True, **values)
    check_same(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("jitter", [None, (0.5, 0.5)])
def test_the_detector_resizes_training_images_unless_they_are_jittered(tmp_path, monkeypatch, coco, jitter):
    sizes, forward = set(), DetectionTransform.forward

    def watched(self, images, targets=None):
        found = forward(self, images, targets)
        if self.training:
            sizes.update(max(size) for size in found[0].image_sizes)
        return found

    monkeypatch.setattr(DetectionTransform, "forward", watched)
    made = plan(coco, epochs=1, augmentation=Augmentation(jitter=jitter, jitter_size=80))
    fit(made, tmp_path / "run")
    assert sizes == ({40} if jitter else {64, 85})


def test_jitter_needs_a_detector_that_can_keep_the_size(tmp_path, coco):
    made = plan(coco, augmentation=Augmentation(jitter=(0.5, 2.0), jitter_size=80))
    data = load_data(made)
    with pytest.raises(ValueError, match="needs a detector with a DetectionTransform"):
        data.make_task(torch.nn.Linear(2, 2), made)


def test_batches_of_a_run_have_images_of_one_shape(tmp_path, monkeypatch):
    """Of ten wide and six tall images, in batches of four: one batch is mixed."""
    coco, shapes = make_coco(tmp_path / "data", count=10, taller=0), []
    for _ in range(6):
        add_picture(coco, (64, 48), [(3, 3, 30, 30)])
    step = DetectorModule.training_step

    def watched(self, batch, number):
        shapes.append({image.size(1) > image.size(2) for image in batch[0]})
        return step(self, batch, number)

    monkeypatch.setattr(DetectorModule, "training_step", watched)
    fit(plan(coco, batch_size=4, aspect_grouping=True), tmp_path / "run")
    assert len(shapes) == 8 and sum(len(shape) > 1 for shape in shapes) == 2
    assert {(True,), (False,)} <= {tuple(shape) for shape in shapes}


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_signal_saves_after_the_step(tmp_path, monkeypatch, coco, wholes, detector):
    draw, workers = random.Random(detector), 2 * (detector == "maskrcnn")
    with monkeypatch.context() as patch:
        at_step(patch, draw.choice([1, 3, 5]), lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(TrainingInterrupted) as stop:
            run(coco, tmp_path / "run", detector=detector, num_workers=workers)
    assert stop.value.signum == signal.SIGTERM
    run(coco, tmp_path / "run", resume=True, detector=detector, num_workers=workers)
    check_same(tmp_path / "run", wholes(detector))


def killed(coco, out, values, at):
    """What the process does: it is killed in the training step of that number."""
    with pytest.MonkeyPatch.context() as patch:
        at_step(patch, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        run(coco, out, resume=(out / "config.yaml").exists(), **values)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_killed_run_has_the_bits_of_one_without_a_kill(tmp_path, coco, wholes, detector, workers):
    draw = random.Random(f"{detector} {workers}")
    context = server()
    values = {"detector": detector, "checkpoint_every": 1, "num_workers": workers}
    for _ in range(2):  # twice in the same run, in the middle of an epoch
        process = context.Process(target=killed, args=(coco, tmp_path / "run", values, draw.choice([2, 3])))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    run(coco, tmp_path / "run", resume=True, **values)
    check_same(tmp_path / "run", wholes(detector))


@pytest.mark.parametrize("start", [forked, pytest.param(torchrun, marks=pytest.mark.slow)])
def test_two_processes_are_one_with_the_same_global_batch(tmp_path, start):
    """Average precision is of five held-out images, which do not divide evenly; in float64, where rounding is small.

    Images have one size: torchvision's detectors count the padding of a batch of several sizes as background.
    """
    coco = make_coco(tmp_path / "data", count=4, taller=0)
    val = make_coco(tmp_path / "val", count=5, seed=1, taller=0)
    low = {"detector": {"score_thresh": 0.001}}
    values = {"val": str(val), "options": low, "sync_bn": True, "accelerator": "cpu", "epochs": 2, "evaluate_every": 1,
              "aspect_grouping": True, "ema": 0.9, "precision": "64-true", "lr": 0.0001}  # fmt: skip
    one, two = run(coco, tmp_path / "one", **values), start(job, coco, tmp_path / "two", **values)
    assert one.keys() == two.keys() and one["val_AP50"] > 0
    assert two == pytest.approx(one, rel=1e-6)
    assert sorted(os.listdir(tmp_path / "two")) == sorted(os.listdir(tmp_path / "one"))


@pytest.mark.parametrize(
    "values", [{"ema": 0.9, "keep": "best"}, {"freeze": True}, {"layer_decay": 0.5}, {"accumulate": 2}, {"patience": 1}]
)
def test_what_a_classifier_has_a_detector_has(tmp_path, coco, values):
    last = run(coco, tmp_path / "run", options={}, **{"epochs": 2, "evaluate_every": 1, **values})
    assert last["train_loss"] > 0 and "val_AP" in last
    assert load_detector(tmp_path / "run")


def test_bfloat16_computes_in_bfloat16_and_learns_the_same(tmp_path, monkeypatch, coco):
    dtypes, step = {}, DetectorModule.training_step

    def watched(self, batch, number):
        seen = dtypes.setdefault(self.config.precision, set())
        layer = self.model.backbone.fpn.inner_blocks[0]
        handle = layer.register_forward_hook(lambda *parts: seen.add(parts[2].dtype))
        try:
            return step(self, batch, number)
        finally:
            handle.remove()

    monkeypatch.setattr(DetectorModule, "training_step", watched)
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        losses[precision] = fit(plan(coco, epochs=1, precision=precision), tmp_path / precision)["train_loss"]
    assert dtypes == {"32-true": {torch.float32}, "bf16-mixed": {torch.bfloat16}}
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)


def test_nothing_is_left_where_the_data_or_the_model_is_wrong(tmp_path, coco):
    with pytest.raises(FileNotFoundError):
        fit(plan(tmp_path / "none.json"), tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        fit(plan(coco), tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["matplotlib", "pycocotools", "lightning"])
def test_what_is_missing_is_known_before_the_work(monkeypatch, name):
    monkeypatch.setattr(_requirements, "find_spec", lambda asked: None if asked == name else True)
    with pytest.raises(ImportError, match=rf"{name}.*pip install"):
        _requirements.require_detection()


@pytest.mark.parametrize("variable", ["RANK=1", "LOCAL_RANK=3", "WORLD_SIZE=2", "LOCAL_WORLD_SIZE=8", "SLURM_PROCID=1"])
def test_variables_of_another_command_are_refused(tmp_path, monkeypatch, coco, variable):
    name, value = variable.split("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"{variable} is set.*Unset {name}"):
        fit(plan(coco), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [ValueError("bad"), OSError(28, "No space left"), RuntimeError("odd"), MemoryError()])
def test_an_error_in_the_first_epoch_leaves_nothing(tmp_path, monkeypatch, coco, error):
    with monkeypatch.context() as patch:
        at_step(patch, 2, crash(error))
        with pytest.raises(type(error)):
            fit(plan(coco), tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_an_error_later_says_what_is_there(tmp_path, monkeypatch, coco):
    with monkeypatch.context() as patch:
        at_step(patch, 4, crash(ValueError("The loss is nan.")))
        with pytest.raises(ValueError, match=r"The loss is nan\. The last good checkpoint is .*last\.ckpt, of step 2"):
            fit(plan(coco), tmp_path / "run")
    assert load_detector(tmp_path / "run").class_names == ["blue", "red"]  # of the first epoch
    assert fit(plan(coco), tmp_path / "run", resume=True)["epoch"] == 2


@pytest.mark.parametrize("which", [1, 2, 3, 4, 5, 6])
def test_a_full_disk(tmp_path, monkeypatch, coco, which):
    """Whichever file is the first that does not fit: no half of one, and either nothing or a run that goes on."""
    calls, mkstemp, out = itertools.count(1), tempfile.mkstemp, tmp_path / "run"

    def full(*args, **options):
        if next(calls) >= which:
            raise OSError(28, "No space left on device")
        return mkstemp(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", full)
        with pytest.raises(OSError, match="No space left"):
            fit(plan(coco), out)
    assert out.exists() == (which > 5)  # two configurations; rows, best weights and checkpoint of an epoch
    if out.exists():
        assert not [path for path in out.iterdir() if path.name.startswith(".")]
        assert fit(plan(coco), out, resume=True)["epoch"] == 2


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_run_folder_of_a_stranger_runs_nothing(tmp_path, coco):
    made, out = plan(coco, epochs=1), tmp_path / "run"
    fit(made, out)
    good = torch.load(out / "last.ckpt", weights_only=True)
    for wrong in ({**good, "extra": Runs(tmp_path / "ran")}, {"state_dict": {}}, {**good, "state_dict": {"a": 1}},
                  {**good, "callbacks": {}, "epoch": "x"}, [1]):  # fmt: skip
        torch.save(wrong, out / "last.ckpt")
        with pytest.raises(ValueError, match=r"last\.ckpt"):
            fit(made, out, resume=True)
    assert not (tmp_path / "ran").exists()
    (out / "last.ckpt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"last\.ckpt is damaged"):
        fit(made, out, resume=True)


def test_other_classes_than_at_the_beginning(tmp_path):
    coco, out = make_coco(tmp_path / "data", count=4), tmp_path / "run"
    fit(plan(coco, epochs=1), out)
    change(coco, lambda content: content["categories"][0].update(name="green"))
    with pytest.raises(ValueError, match=r"classes of .* differ from those with which the run in .*run started"):
        fit(plan(coco, epochs=1), out, resume=True)


@pytest.mark.slow
def test_learns_to_find_rectangles(tmp_path):
    coco, val = make_coco(tmp_path / "data", count=24), make_coco(tmp_path / "val", count=8, seed=1)
    options = {"patch_size": 4, "anchor_scale": 3.0, "out_channels": 32}
    values = {"epochs": 80, "schedule": "cosine", "batch_size": 4, "lr": 2e-3, "warmup": "20 steps"}
    config = plan(coco, val, options=options, evaluate_every=80, **values)
    assert fit(config, tmp_path / "run")["val_AP50"] > 0.7
