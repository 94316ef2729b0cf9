import csv
import itertools
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.detection.common import plan
from tests.detection.scenes import make_coco
from vig_pyg import pvig_micro
from vig_pyg.detection.data import collate
from vig_pyg.detection.fit import fit
from vig_pyg.detection.keeper import Keeper
from vig_pyg.detection.loading import load_data, make_detector
from vig_pyg.detection.module import DetectorModule
from vig_pyg.detection.run_folder import read_run
from vig_pyg.engine.checkpoint_io import read_checkpoint

DRAWS = {"drop_path_rate": 0.3, "stochastic": True, "epsilon": 0.5}
DETECTORS = ["retinanet", "fasterrcnn", "maskrcnn"]


def files(folder):
    """All that a run leaves, without the times."""
    with (folder / "metrics.csv").open() as file:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    state = read_checkpoint(folder / "checkpoint.ckpt")
    return rows, (folder / "model.safetensors").read_bytes(), state["state_dict"], state["optimizer_states"]


def check_same(first, second):
    assert first[0] == second[0]
    assert first[1] == second[1]
    assert first[2].keys() == second[2].keys()
    assert all(torch.equal(tensor, second[2][key]) for key, tensor in first[2].items())
    for one, other in zip(first[3], second[3], strict=True):
        assert one["param_groups"] == other["param_groups"]
        for number, entries in one["state"].items():
            assert all(torch.equal(tensor, other["state"][number][key]) for key, tensor in entries.items())


def interrupt(monkeypatch, at):
    """Ctrl-C in the step of that number."""
    step, calls = DetectorModule.training_step, itertools.count()

    def interrupted(self, batch, number):
        if next(calls) == at:
            raise KeyboardInterrupt
        return step(self, batch, number)

    monkeypatch.setattr(DetectorModule, "training_step", interrupted)


@pytest.mark.parametrize("detector", DETECTORS)
def test_a_stopped_run_has_the_bits_of_one_without_a_stop(tmp_path, monkeypatch, detector):
    """Random numbers: order, augmentation, dropped paths, dropped neighbors, samples of boxes."""
    made = plan(make_coco(tmp_path / "data", count=4), detector=detector, options=DRAWS, evaluate_every=2)
    fit(made, tmp_path / "whole", progress=False)
    workers = {"num_workers": 2 if detector == "maskrcnn" else 0}  # neither the first batch nor the others may differ
    at = int(np.random.default_rng(len(detector)).integers(2, 4))
    with monkeypatch.context() as patch:
        interrupt(patch, at)
        with pytest.raises(KeyboardInterrupt):
            fit(replace(made, **workers), tmp_path / "run", progress=False)
    torch.rand(7)
    fit(None, tmp_path / "run", resume=True, changes=workers, progress=False)
    check_same(files(tmp_path / "run"), files(tmp_path / "whole"))


def test_random_numbers_follow_from_seed_epoch_and_step(tmp_path):
    """Another place draws other boxes and paths: the test above is not empty."""
    coco, losses = make_coco(tmp_path / "data", count=4), {}
    for seed, epoch, step in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)):
        made = plan(coco, detector="fasterrcnn", options=DRAWS, seed=seed)
        data = load_data(made)
        torch.manual_seed(0)
        module = DetectorModule(make_detector(made, 2), data, made).train()
        module.log = module.log_dict = lambda *_, **__: None
        module.trainer = type("T", (), {"current_epoch": epoch, "global_rank": 0, "global_step": 0})()
        batch = collate([data.train_set[(i, 0)] for i in (0, 1)])
        twice = []
        for _ in range(2):
            module.on_train_batch_start(batch, step)
            twice.append(module.training_step(batch, step).item())
        assert twice[0] == twice[1]
        losses[seed, epoch, step] = twice[0]
    assert len(set(losses.values())) == 4


SCRIPT = """
import os, signal, sys
from dataclasses import replace

from tests.detection.common import plan
from vig_pyg.detection import fit as door, keeper
from vig_pyg.detection.module import DetectorModule

coco, out, detector, workers, at, where = sys.argv[1:]
count = 0

def killed(function):
    def inner(*args, **options):
        global count
        count += 1
        if count == int(at):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return inner

if where == "step":
    DetectorModule.training_step = killed(DetectorModule.training_step)
elif where == "weights":
    keeper.write_weights = killed(keeper.write_weights)
else:
    keeper.write_rows = killed(keeper.write_rows)
options = {"drop_path_rate": 0.3, "stochastic": True, "epsilon": 0.5}
made = plan(coco, detector=detector, options=options, epochs=4, num_workers=int(workers), evaluate_every=3)
door.fit(made, out, progress=False)
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("detector", DETECTORS)
def test_a_killed_run_has_the_bits_of_one_without_a_kill(tmp_path, detector, workers):
    coco = make_coco(tmp_path / "data", count=4)
    made = plan(coco, detector=detector, options=DRAWS, epochs=4, num_workers=workers, evaluate_every=3)
    fit(made, tmp_path / "whole", progress=False)
    rng = np.random.default_rng(workers + len(detector))
    for i, where in enumerate(("step", "step", "weights", "rows")):
        at = int(rng.integers(1, 9 if where == "step" else 5))
        out = tmp_path / str(i)
        argv = [sys.executable, "-c", SCRIPT, str(coco), str(out), detector, str(workers), str(at), where]
        assert subprocess.run(argv, capture_output=True).returncode == -9
        fit(None, out, resume=True, progress=False)
        check_same(files(out), files(tmp_path / "whole"))


def test_a_run_that_is_stopped_in_its_first_epoch_needs_no_start_weights_again(tmp_path, monkeypatch):
    coco = make_coco(tmp_path / "data", count=4)
    start = tmp_path / "start.safetensors"
    save_file(pvig_micro().state_dict(), start)
    made = plan(coco, epochs=1, options={"weights_backbone": str(start)})
    with monkeypatch.context() as patch:
        interrupt(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            fit(made, tmp_path / "run", progress=False)
    fit(made, tmp_path / "whole", progress=False)
    start.unlink()
    monkeypatch.setattr("vig_pyg.weights.load_weights", None)
    fit(None, tmp_path / "run", resume=True, progress=False)
    check_same(files(tmp_path / "run"), files(tmp_path / "whole"))
    (tmp_path / "run" / "checkpoint.ckpt").unlink()
    with pytest.raises(ValueError, match=r"no checkpoint\.ckpt.*start\.safetensors.*start the run anew"):
        fit(None, tmp_path / "run", resume=True, progress=False)
    assert read_run(tmp_path / "run") == made


def test_rows_of_a_stranger_are_numbers(tmp_path):
    keeper = Keeper(tmp_path)
    keeper.load_state_dict({"rows": [{"epoch": 1, "train_loss": 0.5}]})
    assert keeper.rows == [{"epoch": 1, "train_loss": 0.5}]
    for wrong in ([{"epoch": "\x1b[2J"}], [{"epoch": torch.zeros(1)}], [{"epoch": [1]}]):
        with pytest.raises(TypeError, match="more than numbers"):
            keeper.load_state_dict({"rows": wrong})
