import csv
import itertools
import json
import tempfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.detection.common import plan
from tests.detection.scenes import change, make_coco
from vig_pyg.detection import _extra
from vig_pyg.detection import fit as door
from vig_pyg.detection.fit import fit
from vig_pyg.detection.load import load_detector
from vig_pyg.detection.module import DetectorModule

FILES = ["checkpoint.ckpt", "config.json", "config.yaml", "curves.png", "metrics.csv", "model.safetensors"]
OPTIONS = {"progress": False}


def rows(folder):
    """`metrics.csv` without the times."""
    with (folder / "metrics.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def test_a_run_leaves_its_folder(tmp_path):
    coco = make_coco(tmp_path / "data", count=4)
    last = fit(plan(coco, make_coco(tmp_path / "val", count=3, seed=1)), tmp_path / "run", **OPTIONS)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1", "2"]
    assert float(rows(tmp_path / "run")[-1]["val_AP50"]) == last["val_AP50"]
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["class_names"], config["category_ids"]) == (["blue", "red"], [3, 7])
    with Image.open(tmp_path / "run" / "curves.png") as picture:
        assert min(picture.size) > 200
    with pytest.raises(FileExistsError, match=r"not overwritten.*--resume .*run goes on"):
        fit(plan(coco), tmp_path / "run", **OPTIONS)


def test_an_interrupted_run_goes_on_to_the_same_numbers(tmp_path, monkeypatch):
    made = plan(make_coco(tmp_path / "data", count=4), epochs=3, schedule="cosine")
    fit(made, tmp_path / "whole", **OPTIONS)
    step, calls = DetectorModule.training_step, []

    def interrupt(self, batch, number):
        calls.append(number)
        if len(calls) == 4:  # within the second epoch
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(DetectorModule, "training_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(made, tmp_path / "run", **OPTIONS)
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["1"]
    assert load_detector(tmp_path / "run")
    monkeypatch.undo()
    fit(None, tmp_path / "run", resume=True, **OPTIONS)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")
    names = ("config.json", "config.yaml", "model.safetensors")
    assert all((tmp_path / "run" / n).read_bytes() == (tmp_path / "whole" / n).read_bytes() for n in names)


def test_an_interruption_in_the_first_epoch(tmp_path, monkeypatch):
    made = plan(make_coco(tmp_path / "data", count=4), epochs=1)

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "training_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(made, tmp_path / "run", **OPTIONS)
    with pytest.raises(FileNotFoundError, match="no epoch of this run is finished"):
        load_detector(tmp_path / "run")
    fit(None, tmp_path / "run", resume=True, **OPTIONS)
    fit(made, tmp_path / "whole", **OPTIONS)
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def test_the_last_epoch_is_always_measured(tmp_path):
    made = plan(make_coco(tmp_path / "data", count=4), epochs=3, evaluate_every=2)
    last = fit(made, tmp_path / "run", **OPTIONS)
    assert "val_AP50" in last
    assert [bool(row["val_AP50"]) for row in rows(tmp_path / "run")] == [False, True, True]
    before = rows(tmp_path / "run")
    fit(None, tmp_path / "run", resume=True, **OPTIONS)  # nothing is left to do
    assert rows(tmp_path / "run") == before


def test_bfloat16_computes_in_bfloat16_and_learns_the_same(tmp_path, monkeypatch):
    coco, dtypes = make_coco(tmp_path / "data", count=4), {}
    step = DetectorModule.training_step

    def watched(self, batch, number):
        seen = dtypes.setdefault(self.recipe.precision, set())
        layer = self.model.backbone.fpn.inner_blocks[0]
        handle = layer.register_forward_hook(lambda *parts: seen.add(parts[2].dtype))
        try:
            return step(self, batch, number)
        finally:
            handle.remove()

    monkeypatch.setattr(DetectorModule, "training_step", watched)
    losses = {}
    for precision in ("32-true", "bf16-mixed"):
        last = fit(plan(coco, epochs=1, precision=precision), tmp_path / precision, **OPTIONS)
        losses[precision] = last["train_loss"]
    assert dtypes == {"32-true": {torch.float32}, "bf16-mixed": {torch.bfloat16}}
    assert losses["bf16-mixed"] != losses["32-true"]
    assert losses["bf16-mixed"] == pytest.approx(losses["32-true"], rel=0.05)


def test_nothing_is_left_where_the_data_or_the_model_is_wrong(tmp_path):
    coco = make_coco(tmp_path / "data", count=4)
    with pytest.raises(FileNotFoundError):
        fit(plan(tmp_path / "none.json"), tmp_path / "run", **OPTIONS)
    with pytest.raises(ValueError, match=r"unknown entry 'anchor_size' \(did you mean 'anchor_scale'"):
        fit(plan(coco, options={"anchor_size": 3}), tmp_path / "run", **OPTIONS)
    with pytest.raises(ValueError, match="evaluate_every must be a whole number"):
        fit(plan(coco, evaluate_every=0), tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        fit(None, tmp_path / "run", resume=True, **OPTIONS)
    for wrong in ({"config": None}, {"config": plan(coco), "resume": True}):
        with pytest.raises(ValueError, match="config=None with resume=True"):
            fit(out=tmp_path / "run", **wrong, **OPTIONS)


def test_curves_that_cannot_be_drawn_are_a_warning(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(door, "draw_curves", lambda _: 1 / 0)
    last = fit(plan(make_coco(tmp_path / "data", count=4), epochs=1), tmp_path / "run", **OPTIONS)
    assert last["train_loss"] > 0
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [n for n in FILES if n != "curves.png"]
    assert "curves.png could not be drawn (division by zero); all else is written" in caplog.text


@pytest.mark.parametrize("name", ["matplotlib", "pycocotools", "lightning"])
def test_what_is_missing_is_known_before_the_work(monkeypatch, name):
    monkeypatch.setattr(_extra, "find_spec", lambda asked: None if asked == name else True)
    monkeypatch.setattr("vig_pyg.engine._requirements.find_spec", lambda asked: None if asked == name else True)
    with pytest.raises(ImportError, match=rf"{name}.*pip install"):
        _extra.require()


TORCHRUN = {"TORCHELASTIC_RUN_ID": "a", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}


@pytest.mark.parametrize("variable", ["RANK=1", "LOCAL_RANK=3", "WORLD_SIZE=2", "LOCAL_WORLD_SIZE=8", "SLURM_PROCID=1"])
def test_variables_of_another_command_are_refused(tmp_path, monkeypatch, variable):
    name, value = variable.split("=")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"{variable} is set.*Unset {name}"):
        fit(plan(tmp_path / "none.json"), tmp_path / "run", **OPTIONS)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_one_of_several_processes_is_refused(tmp_path, monkeypatch, rank):
    for name, value in {**TORCHRUN, "RANK": rank, "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="one process, but torchrun has started 2"):
        fit(plan(tmp_path / "none.json"), tmp_path / "run", **OPTIONS)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(FileNotFoundError, match=r"none\.json"):  # it goes on to the data
        fit(plan(tmp_path / "none.json"), tmp_path / "run", **OPTIONS)


def first_failure(monkeypatch, error, *, at):
    """An error in the training step of that number."""
    step, calls = DetectorModule.training_step, itertools.count(1)

    def failing(self, batch, number):
        if next(calls) == at:
            raise error
        return step(self, batch, number)

    monkeypatch.setattr(DetectorModule, "training_step", failing)


@pytest.mark.parametrize("error", [ValueError("bad"), OSError(28, "No space left"), RuntimeError("odd"), MemoryError()])
def test_an_error_in_the_first_epoch_leaves_nothing(tmp_path, monkeypatch, error):
    coco = make_coco(tmp_path / "data", count=4)
    with monkeypatch.context() as patch:
        first_failure(patch, error, at=2)
        with pytest.raises(type(error)):
            fit(plan(coco), tmp_path / "new" / "run", **OPTIONS)
    assert not (tmp_path / "new").exists()


def test_an_error_later_says_what_is_there(tmp_path, monkeypatch):
    made = plan(make_coco(tmp_path / "data", count=4))
    with monkeypatch.context() as patch:
        first_failure(patch, ValueError("The loss is nan."), at=4)
        with pytest.raises(ValueError, match=r"The loss is nan\. .*run holds the run up to epoch 1; --resume goes on"):
            fit(made, tmp_path / "run", **OPTIONS)
    assert fit(None, tmp_path / "run", resume=True, **OPTIONS)["epoch"] == 2


@pytest.mark.parametrize("which", [1, 2, 3, 5, 6, 7])
def test_a_full_disk(tmp_path, monkeypatch, which):
    """Whichever file is the first that does not fit: no half of one, and either nothing or a run that goes on."""
    made, calls, mkstemp = plan(make_coco(tmp_path / "data", count=4)), itertools.count(1), tempfile.mkstemp
    run = tmp_path / "run"

    def full(*args, **options):
        if next(calls) >= which:
            raise OSError(28, "No space left on device")
        return mkstemp(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "mkstemp", full)
        with pytest.raises(OSError, match="No space left"):
            fit(made, run, **OPTIONS)
    assert run.exists() == (
        which > 6
    )  # two configurations, the first checkpoint; rows, weights and checkpoint of an epoch
    if run.exists():
        assert not [path for path in run.iterdir() if path.name.startswith(".")]
        assert fit(None, run, resume=True, **OPTIONS)["epoch"] == 2


class Runs:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_the_run_folder_of_a_stranger_runs_nothing(tmp_path):
    made, run = plan(make_coco(tmp_path / "data", count=4), epochs=1), tmp_path / "run"
    fit(made, run, **OPTIONS)
    good = torch.load(run / "checkpoint.ckpt", weights_only=True)
    for wrong in ({**good, "extra": Runs(tmp_path / "ran")}, {"state_dict": {}}, {**good, "state_dict": {"a": 1}},
                  {**good, "callbacks": {}, "epoch": "x"}, [1]):  # fmt: skip
        torch.save(wrong, run / "checkpoint.ckpt")
        with pytest.raises(ValueError, match=r"checkpoint\.ckpt"):
            fit(None, run, resume=True, **OPTIONS)
    assert not (tmp_path / "ran").exists()
    (run / "checkpoint.ckpt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"checkpoint\.ckpt is damaged"):
        fit(None, run, resume=True, **OPTIONS)


def test_other_classes_than_at_the_beginning(tmp_path):
    coco, run = make_coco(tmp_path / "data", count=4), tmp_path / "run"
    fit(plan(coco, epochs=1), run, **OPTIONS)
    change(coco, lambda content: content["categories"][0].update(name="green"))
    with pytest.raises(ValueError, match=r"other classes than when the run in .*run began"):
        fit(None, run, resume=True, **OPTIONS)


@pytest.mark.slow
def test_learns_to_find_rectangles(tmp_path):
    coco = make_coco(tmp_path / "data", count=24)
    val = make_coco(tmp_path / "val", count=8, seed=1)
    options = {"patch_size": 4, "anchor_scale": 3.0, "out_channels": 32}
    made = plan(
        coco,
        val,
        options=options,
        epochs=80,
        schedule="cosine",
        batch_size=4,
        lr=2e-3,
        warmup="20 steps",
        evaluate_every=80,
    )
    assert fit(made, tmp_path / "run", **OPTIONS)["val_AP50"] > 0.7
