import csv
import json

import pytest
from PIL import Image

from tests.detection.common import plan
from tests.detection.scenes import make_coco
from vig_pyg.detection.fit import fit
from vig_pyg.detection.module import DetectorModule
from vig_pyg.detection.run_folder import load_detector

FILES = ["checkpoint.ckpt", "config.json", "curves.png", "metrics.csv", "model.safetensors"]
OPTIONS = {"num_workers": 0, "progress": False}


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
    with pytest.raises(FileExistsError, match="not overwritten"):
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
    names = ("config.json", "model.safetensors")
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
    made = plan(make_coco(tmp_path / "data", count=4), epochs=3)
    last = fit(made, tmp_path / "run", measure_every=2, **OPTIONS)
    assert "val_AP50" in last
    assert [bool(row["val_AP50"]) for row in rows(tmp_path / "run")] == [False, True, True]
    before = rows(tmp_path / "run")
    fit(None, tmp_path / "run", resume=True, measure_every=2, **OPTIONS)  # nothing is left to do
    assert rows(tmp_path / "run") == before


def test_bfloat16(tmp_path):
    last = fit(plan(make_coco(tmp_path / "data", count=4), epochs=1, precision="bfloat16"), tmp_path / "run", **OPTIONS)
    assert last["train_loss"] > 0


def test_nothing_is_left_where_the_data_or_the_model_is_wrong(tmp_path):
    coco = make_coco(tmp_path / "data", count=4)
    with pytest.raises(FileNotFoundError):
        fit(plan(tmp_path / "none.json"), tmp_path / "run", **OPTIONS)
    with pytest.raises(TypeError, match="anchor_size"):
        fit(plan(coco, options={"anchor_size": 3}), tmp_path / "run", **OPTIONS)
    with pytest.raises(ValueError, match="measure_every"):
        fit(plan(coco), tmp_path / "run", measure_every=0, **OPTIONS)
    assert not (tmp_path / "run").exists()
    with pytest.raises(FileNotFoundError, match="not a run folder"):
        fit(None, tmp_path / "run", resume=True, **OPTIONS)
    for wrong in ({"plan": None}, {"plan": plan(coco), "resume": True}):
        with pytest.raises(ValueError, match="plan=None with resume=True"):
            fit(out=tmp_path / "run", **wrong, **OPTIONS)


@pytest.mark.slow
def test_learns_to_find_rectangles(tmp_path):
    coco = make_coco(tmp_path / "data", count=24)
    val = make_coco(tmp_path / "val", count=8, seed=1)
    options = {"patch_size": 4, "anchor_scale": 3.0, "out_channels": 32}
    made = plan(coco, val, options=options, epochs=80, schedule="cosine", batch_size=4, lr=2e-3, warmup=20)
    assert fit(made, tmp_path / "run", measure_every=80, **OPTIONS)["val_AP50"] > 0.7
