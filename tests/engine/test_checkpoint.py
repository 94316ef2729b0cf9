"""Runs that die at some moment and go on: in the end the bytes are those of a run that did not."""

import os
import random
import signal

import pytest
import torch

from tests.classification.job import run
from tests.processes import server
from vig_pyg.classification.module import Classifier
from vig_pyg.engine import TrainingInterrupted
from vig_pyg.engine.checkpoint import CheckpointCallback
from vig_pyg.engine.metrics import MetricsHistory

#: All that has a state: average, mixing, gradients that are added, layers of different speed.
VALUES = {"ema": 0.9, "cutmix": 1.0, "mix_prob": 0.5, "accumulate": 2, "layer_decay": 0.9, "checkpoint_every": 2}
RESULTS = ("metrics.csv", "model.safetensors", "best.safetensors", "confusion.png", "curves.png")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run that nothing happens to."""
    out = tmp_path_factory.mktemp("saver") / "whole"
    run(out, **VALUES)
    return out


def assert_same(out, whole):
    for name in RESULTS:
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name


class Crash(Exception):  # noqa: N818
    """Stands for the end of the process."""


def crash_at(monkeypatch, owner, hook, count):
    """The hook's `count`-th call does not come to its end."""
    calls, original = [], getattr(owner, hook)

    def crashing(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            raise Crash
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, hook, crashing)


@pytest.mark.parametrize(
    ("owner", "hook", "count"),
    [
        (Classifier, "training_step", 2),  # before any checkpoint
        (Classifier, "training_step", 8),  # within an epoch, right after a checkpoint and later
        (Classifier, "training_step", 11),
        (Classifier, "training_step", 13),  # at the beginning of an epoch
        (Classifier, "training_step", 36),
        (Classifier, "validation_step", 4),
        (MetricsHistory, "on_train_epoch_end", 2),
        (CheckpointCallback, "on_train_epoch_end", 3),  # all is done but the last checkpoint
    ],
)
def test_a_crash_at_any_moment_changes_nothing(tmp_path, monkeypatch, whole, owner, hook, count):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        crash_at(patch, owner, hook, count)
        with pytest.raises(Crash):
            run(out, **VALUES)
    run(out, resume=out.exists(), **VALUES)
    assert_same(out, whole)


@pytest.mark.parametrize("count", [5, 8])
def test_the_curve_of_one_epoch_goes_on_with_its_steps(tmp_path, monkeypatch, count):
    out, whole, values = tmp_path / "run", tmp_path / "whole", {**VALUES, "epochs": 1}
    row = run(whole, **values)
    with monkeypatch.context() as patch:
        crash_at(patch, Classifier, "training_step", count)
        with pytest.raises(Crash):
            run(out, **values)
    run(out, resume=True, **values)
    assert_same(out, whole)
    callbacks = torch.load(out / "last.ckpt", weights_only=True)["callbacks"]
    (steps,) = (state["steps"] for name, state in callbacks.items() if name.startswith("MetricsHistory"))
    assert len(steps) > count // 2  # two batches are one step
    assert sum(step["train_loss"] for step in steps) / len(steps) == pytest.approx(row["train_loss"])
    (out / "curves.png").unlink()
    run(out, resume=True, **values)  # from the checkpoint alone
    assert_same(out, whole)


def test_longer_runs_keep_no_losses_of_steps(whole):
    checkpoint = torch.load(whole / "last.ckpt", weights_only=True)
    states = [state for name, state in checkpoint["callbacks"].items() if name.startswith("MetricsHistory")]
    assert states[0]["steps"] == [] and "step_meters" not in checkpoint


def test_without_checkpoints_within_epochs_at_most_one_epoch_is_lost(tmp_path, monkeypatch, whole):
    out, values = tmp_path / "run", {**VALUES, "checkpoint_every": None}
    with monkeypatch.context() as patch:
        crash_at(patch, Classifier, "training_step", 20)
        with pytest.raises(Crash):
            run(out, **values)
    run(out, resume=True, **values)
    assert_same(out, whole)


def test_with_workers_too(tmp_path, monkeypatch, whole):
    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        crash_at(patch, Classifier, "training_step", 18)
        with pytest.raises(Crash):
            run(out, **VALUES, num_workers=1)
    run(out, resume=True, **VALUES, num_workers=2)
    assert_same(out, whole)


def test_a_finished_run_is_not_trained_again(monkeypatch, whole):
    crash_at(monkeypatch, Classifier, "training_step", 1)
    before = {name: (whole / name).read_bytes() for name in RESULTS}
    kept = run(whole, resume=True, **VALUES)
    assert kept["epoch"] == 3
    assert before == {name: (whole / name).read_bytes() for name in RESULTS}


@pytest.mark.parametrize("step", [1, 9, 18])
def test_a_signal_saves_after_the_step(tmp_path, monkeypatch, whole, step):
    out, calls, original = tmp_path / "run", [], Classifier.training_step

    def signalled(*args):
        calls.append(1)
        if len(calls) == 2 * step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", signalled)
        if step == 18:  # the last one: there is nothing left to stop
            run(out, **VALUES)
        else:
            with pytest.raises(TrainingInterrupted) as stop:
                run(out, **VALUES)
            assert stop.value.signum == signal.SIGTERM
            run(out, resume=True, **VALUES)
    assert len(calls) == 36  # no step was done twice
    assert_same(out, whole)


def test_a_full_disk_is_said_with_the_checkpoint_that_is_left(tmp_path, monkeypatch, whole):
    out, calls, fsync = tmp_path / "run", [], os.fsync

    def full(descriptor):
        calls.append(1)
        if len(calls) > 12:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            OSError, match=r"No space left on device.*The last good checkpoint is .*last\.ckpt, of step"
        ):
            run(out, **VALUES)
    run(out, resume=True, **VALUES)
    assert_same(out, whole)


def test_a_diverged_run_is_stopped_with_the_checkpoint_that_is_left(tmp_path, monkeypatch):
    original, calls = Classifier.training_step, []

    def diverge(self, *args):
        calls.append(1)
        if len(calls) == 10:
            self.model.head.fc2.bias.data.fill_(float("nan"))
        return original(self, *args)

    monkeypatch.setattr(Classifier, "training_step", diverge)
    with pytest.raises(ValueError, match=r"loss is nan at step 9.*last good checkpoint is .*last\.ckpt, of step 6"):
        run(tmp_path / "run")


def kill_until_done(out, events, values):
    """A process of its own, killed after so many events since it started to train; returns how often it was."""
    context = server()
    kills = 0
    while True:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=tell_and_run, args=(theirs, out, values))
        process.start()
        theirs.close()
        if kills < len(events):
            for _ in range(events[kills]):
                ours.recv()
            process.kill()
        process.join()
        ours.close()
        if process.exitcode == 0:
            return kills
        assert process.exitcode == -signal.SIGKILL
        kills += 1


def tell_and_run(tell, out, values):
    """What the process does: train, and tell of every step and of every file that is about to be complete."""
    step, sync = Classifier.training_step, os.fsync

    def say(*_):
        if not tell.closed:
            try:
                tell.send(None)
            except OSError:  # nobody listens any more
                tell.close()

    Classifier.training_step = lambda *args: (say(), step(*args))[1]
    os.fsync = lambda handle: (say(), sync(handle))[1]
    run(out, resume=(out / "config.yaml").exists(), **values)


@pytest.mark.parametrize(("kills", "epochs"), [(3, 6), pytest.param(10, 20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_result_is_the_same(tmp_path, kills, epochs):
    """By events, not by a clock: in steps, between them, and while files are written."""
    values, draw = {**VALUES, "epochs": epochs}, random.Random(kills)
    run(tmp_path / "whole", **values)
    events = [draw.randint(3, 11) for _ in range(kills)]  # together fewer than the steps of the run
    assert kill_until_done(tmp_path / "run", events, values) == kills
    assert_same(tmp_path / "run", tmp_path / "whole")
