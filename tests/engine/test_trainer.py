import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.classification.job import run
from vig_pyg.engine import TrainConfig
from vig_pyg.engine.trainer import make_trainer, placement, quiet_lightning

pytestmark = pytest.mark.usefixtures("blank_pictures")

VALUES = {"accelerator": "cpu", "epochs": 2, "lr": 0.001}
LAUNCHERS = ("LOCAL_WORLD_SIZE", "WORLD_SIZE", "SLURM_NTASKS_PER_NODE", "SLURM_PROCID", "SLURM_NNODES")


@pytest.mark.parametrize(
    ("env", "recipe", "expected"),
    [
        ({}, {}, ("auto", 1)),
        ({}, {"devices": 2, "num_nodes": 3}, (2, 3)),
        ({"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "16"}, {}, (8, 2)),
        ({"LOCAL_WORLD_SIZE": "8", "WORLD_SIZE": "8"}, {"devices": 4}, (4, 1)),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS_PER_NODE": "8", "SLURM_NNODES": "2"}, {}, (8, 2)),
    ],
)
def test_the_launcher_says_how_many(monkeypatch, env, recipe, expected):
    for name in LAUNCHERS:
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert placement(TrainConfig(**recipe)) == expected


def test_the_trainer_does_what_the_recipe_says(tmp_path):
    recipe = TrainConfig(epochs=7, accumulate=3, clip_grad=0.5, precision="bf16-mixed", accelerator="cpu")
    with quiet_lightning():
        trainer = make_trainer(recipe, tmp_path, [])
    assert (trainer.max_epochs, trainer.accumulate_grad_batches, trainer.gradient_clip_val) == (7, 3, 0.5)
    assert trainer.precision == "bf16-mixed"


def test_tensorboard_has_the_scores(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run(tmp_path / "run", epochs=2, tensorboard=True)
    found = events.EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert {"train_loss", "val_loss", "val_accuracy"} <= set(found.Tags()["scalars"])
    assert len(found.Scalars("val_accuracy")) == 2


def launch(out, resume="0", **values):
    """Two processes, as torchrun starts them; returns what the first says."""
    pairs = [f"{key}={value}" for key, value in values.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "tests.classification.job", str(out), resume, *pairs],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "recommended" not in done.stderr and "deprecated" not in done.stderr  # advice that does not apply here
    return json.loads(next(line[2:] for line in done.stdout.splitlines() if line.startswith("0 ")))


def counts(out):
    callbacks = torch.load(out / "last.ckpt", weights_only=True)["callbacks"]
    return next(state["counts"] for name, state in callbacks.items() if name.startswith("MetricsHistory"))


def test_two_processes_are_one_with_the_same_global_batch(tmp_path):
    """And evaluation counts each of 65 images once. In float64: rounding grows with every step of float32."""
    values, close = {**VALUES, "precision": "64-true"}, 1e-8
    one = run(tmp_path / "one", **values)
    two = launch(tmp_path / "two", sync_bn=True, **values)
    assert two["train_loss"] == pytest.approx(one["train_loss"], rel=close)
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=close)
    assert counts(tmp_path / "two").sum() == counts(tmp_path / "one").sum() == 65
    assert counts(tmp_path / "two").sum(1).tolist() == counts(tmp_path / "one").sum(1).tolist()
    assert sorted(p.name for p in (tmp_path / "two").iterdir()) == sorted(p.name for p in (tmp_path / "one").iterdir())


@pytest.mark.slow
def test_two_processes_can_be_resumed(tmp_path):
    values = {**VALUES, "ema": 0.9, "checkpoint_every": 2}
    whole = launch(tmp_path / "whole", **values)
    launch(tmp_path / "run", **values)
    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert checkpoint["meter"].shape == (2, 2)
    (tmp_path / "run" / "model.safetensors").unlink()
    assert launch(tmp_path / "run", "1", **values) == whole
    for name in ("metrics.csv", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_with_a_checkpoint(tmp_path):
    out, values = tmp_path / "run", {**VALUES, "epochs": 200}
    pairs = [f"{key}={value}" for key, value in values.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    agent = subprocess.Popen(
        [*command, "tests.classification.job", str(out), "0", *pairs], stderr=subprocess.PIPE, text=True
    )
    while not (out / "last.ckpt").exists() and agent.poll() is None:
        time.sleep(0.05)
    second = int(Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()[-1])
    os.kill(second, signal.SIGTERM)
    _, err = agent.communicate(timeout=600)
    assert agent.returncode != 0
    assert "exitcode  : 143" in err
    assert not [path for path in out.iterdir() if path.name.startswith(".")]
    assert torch.load(out / "last.ckpt", weights_only=True)["global_step"] >= 6
