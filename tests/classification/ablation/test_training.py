import json

import lightning
import pytest

from vig_pyg.classification import ClassificationConfig, DigitsData
from vig_pyg.classification.ablation import changed
from vig_pyg.classification.ablation.ablate import network_options
from vig_pyg.classification.ablation.folder import AblationFolder
from vig_pyg.classification.ablation.training import Clock, train_all, train_run
from vig_pyg.engine import TrainingInterrupted

CONFIG = ClassificationConfig(epochs=2, batch_size=64, options={"patch_size": 4, "depth": 1, "channels": 16})


@pytest.fixture
def data():
    digits = DigitsData(image_size=16)
    digits.train_set.sources, digits.train_set.labels = digits.train_set.sources[:192], digits.train_set.labels[:192]
    digits.val_set.sources, digits.val_set.labels = digits.val_set.sources[:40], digits.val_set.labels[:40]
    return digits


def test_a_stopped_run_goes_on_with_the_same_result(tmp_path, data, monkeypatch):
    options, variant = network_options(CONFIG, data), changed("mr", "")
    whole = train_run(AblationFolder(tmp_path / "a", {}), variant, 3, data, CONFIG, options)
    folder = AblationFolder(tmp_path / "b", {})

    class StopError(Exception):
        pass

    def stop(done):
        if done == 4:  # in the second epoch
            raise StopError

    with pytest.raises(StopError):
        train_run(folder, variant, 3, data, CONFIG, options, advance=stop)
    assert (folder.started(variant, 3) / "last.ckpt").is_file()
    steps = []
    again = train_run(folder, variant, 3, data, CONFIG, options, advance=steps.append)
    assert steps[0] == 4 and steps[-1] == 6
    assert {key: value for key, value in again.items() if key != "seconds"} == {
        key: value for key, value in whole.items() if key != "seconds"
    }
    other = train_run(AblationFolder(tmp_path / "c", {}), variant, 4, data, CONFIG, options)
    assert other["val_loss"] != whole["val_loss"]


def test_finished_runs_are_saved_and_nothing_else_is_left(tmp_path, data, capsys):
    folder, variant = AblationFolder(tmp_path / "a", {}), changed("mr, knn", "")
    train_all(
        folder, [(variant, 0), (variant, 1)], data, CONFIG, network_options(CONFIG, data),
        environment={"torch": "1"}, measure=lambda model, _: {"layers": float(len(model.graphers()))},
    )  # fmt: skip
    assert sorted((folder.path / "runs").iterdir()) == [folder.run_file(variant, seed) for seed in (0, 1)]
    found = json.loads(folder.run_file(variant, 1).read_text())
    assert (found["seed"], found["layers"], found["environment"]) == (1, 1.0, {"torch": "1"})
    assert "mr, knn, seed 1: " in capsys.readouterr().err


def test_quiet_is_quiet(tmp_path, data, capsys):
    folder, variant = AblationFolder(tmp_path / "a", {}), changed("mr", "")
    train_all(folder, [(variant, 0)], data, CONFIG, network_options(CONFIG, data), environment={}, progress=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_signal_is_passed_on(tmp_path, data, monkeypatch):
    import os
    import signal

    folder, variant = AblationFolder(tmp_path / "a", {}), changed("mr", "")
    with pytest.raises(TrainingInterrupted):
        train_run(
            folder, variant, 0, data, CONFIG, network_options(CONFIG, data),
            advance=lambda done: os.kill(os.getpid(), signal.SIGTERM) if done == 2 else None,
        )  # fmt: skip
    assert (folder.started(variant, 0) / "last.ckpt").is_file()


def test_the_clock_counts_all_parts():
    clock = Clock(lambda done: None)
    assert isinstance(clock, lightning.Callback)
    clock.load_state_dict({"seconds": 100.0})
    assert 100 <= clock.seconds() < 1000
