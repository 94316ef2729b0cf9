"""Runs that die at some moment and go on: in the end the bytes are those of a run that did not."""

import multiprocessing
import os
import random
import signal
import time

import pytest

from tests.train.job import run
from vig_pyg.train import Stopped
from vig_pyg.train.classifier import Classifier
from vig_pyg.train.history import History
from vig_pyg.train.saver import Saver

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
        (History, "on_train_epoch_end", 2),
        (Saver, "on_train_epoch_end", 3),  # all is done but the last checkpoint
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
            run(out, **VALUES, workers=1)
    run(out, resume=True, **VALUES, workers=2)
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
            with pytest.raises(Stopped) as stop:
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


def kill_until_done(out, moments, values):
    """A process of its own, killed so many seconds after it started to train; returns how often it was."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.job"])  # imports take longer than the training
    kills = 0
    while True:
        started = context.Event()
        process = context.Process(target=started_run, args=(started, out, values))
        process.start()
        assert started.wait(100)
        if kills < len(moments):
            process.join(moments[kills])
            process.kill()
        process.join(100)
        if process.exitcode == 0:
            return kills
        assert process.exitcode == -signal.SIGKILL
        kills += 1


def started_run(started, out, values):
    """What the process does."""
    started.set()
    run(out, resume=(out / "recipe.yaml").exists(), **values)


@pytest.mark.parametrize(("kills", "epochs"), [(3, 6), pytest.param(10, 20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_result_is_the_same(tmp_path, kills, epochs):
    values, start = {**VALUES, "epochs": epochs}, time.perf_counter()
    run(tmp_path / "whole", **values)
    seconds, draw = time.perf_counter() - start, random.Random(kills)
    shares = [draw.uniform(0.2, 1) for _ in range(kills)]
    for haste in (1, 2, 4, 8):  # where the machine is faster now, the run would end before the last kill
        moments = [0.9 * seconds * share / sum(shares) / haste for share in shares]
        killed = kill_until_done(tmp_path / f"run{haste}", moments, values)
        assert_same(tmp_path / f"run{haste}", tmp_path / "whole")
        if killed == kills:
            return
    pytest.fail(f"Only {killed} of {kills} kills came before the end.")
