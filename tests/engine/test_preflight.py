import importlib
import os
import shutil
import signal

import numpy as np
import pytest

from tests.classification.job import NETWORK, few_digits, fit, run
from vig_pyg.classification import ClassificationConfig, make_model
from vig_pyg.classification.module import Classifier
from vig_pyg.engine import TrainingInterrupted
from vig_pyg.engine import run as folders
from vig_pyg.engine.preflight import _same, check_run


def never(*_, **__):
    raise AssertionError("The first step is done before the check.")


@pytest.fixture(autouse=True)
def no_step(request, monkeypatch):
    if "steps" not in request.keywords and "steps" not in request.node.name:
        monkeypatch.setattr(Classifier, "training_step", never)


def refused(tmp_path, error, said, *, data=None, options=(), **recipe):
    """A run that ends before the first step, in one line, and leaves nothing."""
    before = sorted(os.listdir(tmp_path))
    data = data or few_digits(train=64, val=10)
    with pytest.raises(error, match=said) as caught:
        fit(
            data,
            tmp_path / "run",
            model="vig_micro",
            options={**NETWORK, **dict(options)},
            recipe=ClassificationConfig(**{"epochs": 1, "accelerator": "cpu", **recipe}),
            progress=False,
        )
    assert len(str(caught.value)) < 700
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"accelerator": "abacus"}, "accelerator"),
        ({"accelerator": "tpu"}, "cannot train with accelerator=tpu"),
        ({"precision": "31-true"}, "precision"),
        ({"precision": "transformer-engine"}, "precision"),
        ({"accumulate": 7}, "multiple"),
        ({"devices": 3, "num_nodes": 1}, "multiple"),
        ({"mixup": 0.5, "accumulate": 64}, "even number of images, got 1"),
    ],
)
def test_what_the_machine_or_the_batch_cannot_do_is_told(tmp_path, recipe, said):
    refused(tmp_path, ValueError, said, **recipe)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"weights": "https://example.invalid/a.pth"}, TypeError, "no option 'weights'"),
        ({"depths": (1, 2)}, TypeError, "ViGConfig has no option 'depths'"),
        ({"depth": 10**9}, ValueError, "depth must be a whole number"),
        ({"channels": 1.5}, ValueError, "channels must be a whole number"),
        ({"conv": "gcn"}, ValueError, "Unknown conv 'gcn'"),
        ({"graph": "gcn"}, ValueError, "Unknown graph 'gcn'"),
        ({"conv": np.add}, TypeError, "expected a Module: pass a callable"),
        ({"k": "x"}, ValueError, "k must be a whole number"),
        ({"heads": "x"}, ValueError, "heads must be a whole number"),
    ],
)
def test_a_network_that_no_folder_could_describe_is_told(tmp_path, options, error, said):
    refused(tmp_path, error, said, options=options)


def test_data_that_cannot_be_trained_on_is_told(tmp_path):
    data = few_digits(train=64, val=10)
    data.class_names[3] = "x" * 1001
    refused(tmp_path, ValueError, r"class_names\[3\] must be text of at most 1000", data=data)
    refused(tmp_path, ValueError, "no validation images", data=few_digits(train=64, val=0))
    refused(tmp_path, ValueError, "fewer than one batch", data=few_digits(train=10, val=5))


def test_what_is_no_data_or_no_configuration_is_told(tmp_path):
    data, recipe = few_digits(train=64, val=10), ClassificationConfig()
    for pair, told in (((3, recipe), "TrainData, got int"), ((data, {"epochs": 3}), "TrainConfig, got dict")):
        with pytest.raises(TypeError, match=rf"Expected an instance of {told}\."):
            check_run(make_model("vig_micro", NETWORK, data, seed=0), *pair, tmp_path / "run", resume=False)


def test_missing_tensorboard_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("vig_pyg.engine.preflight.find_spec", lambda name: None)
    refused(tmp_path, ImportError, r"\(extra tensorboard\): .*install", tensorboard=True)


def test_a_disk_that_is_too_small_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**5))
    refused(tmp_path, OSError, r"needs about \d+\.\d MB, but only 0\.1 MB are free at")


@pytest.mark.parametrize("kind", ["folder", "file", "link", "dangling link", "below a file"])
def test_a_place_that_is_taken_is_told(tmp_path, kind):
    {
        "folder": lambda path: path.mkdir(),
        "file": lambda path: path.touch(),
        "link": lambda path: path.symlink_to("."),
        "dangling link": lambda path: path.symlink_to("nowhere"),
        "below a file": lambda path: None,
    }[kind](tmp_path / "run")
    if kind == "below a file":
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="is a file, not a folder"):
            folders.check_run_folder(tmp_path / "file" / "run")
        return
    refused(tmp_path, FileExistsError, "exists already and is not overwritten|is a symbolic link")


def test_a_variable_that_is_left_over_cannot_overwrite_a_run(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_text("finished")
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "WORLD_SIZE"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "2")
            refused(tmp_path, ValueError, f"{name}=2 is set")
    refused(tmp_path, FileExistsError, "not overwritten")
    assert os.listdir(tmp_path / "run") == ["model.safetensors"]


@pytest.mark.parametrize("name", folders.OUTPUTS)
def test_a_folder_to_resume_may_not_lead_elsewhere(tmp_path, name):
    """A stranger's folder, whose files would be written over something else."""
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError, match=rf"{name} is a symbolic link"):
        data = few_digits(train=64, val=10)
        check_run(
            make_model("vig_micro", NETWORK, data, seed=0), data, ClassificationConfig(), tmp_path / "run", resume=True
        )
    assert (tmp_path / "precious").read_text() == "precious"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "place",
    ["data.Classifier", "data.ImageData.setup", "module.Classifier.validation_step", "data.write_config"],
)
def test_a_signal_before_the_first_of_all_steps_leaves_nothing(tmp_path, monkeypatch, signum, place):
    """While the network is made, images are read, or validation is tried."""

    module, _, name = place.partition(".")
    owner = importlib.import_module(f"vig_pyg.classification.{module}")
    for part in name.split(".")[:-1]:
        owner = getattr(owner, part)
    original, name = getattr(owner, name.split(".")[-1]), name.split(".")[-1]

    def signalled(*args, **kwargs):
        os.kill(os.getpid(), signum)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, signalled)
    before = signal.getsignal(signum)
    with pytest.raises((KeyboardInterrupt, TrainingInterrupted)) as stop:
        run(tmp_path / "deep" / "run", accelerator="cpu")
    assert getattr(stop.value, "signum", signal.SIGINT) == signum
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signum) is before


def test_a_run_continues_its_steps_with_its_network_only(tmp_path):
    """Without the check, its `config.json` would describe the other network."""
    recipe = ClassificationConfig(epochs=1, batch_size=32, accelerator="cpu")

    def train(resume, **options):
        how = {"model": "vig_micro", "options": {**NETWORK, **options}, "recipe": recipe, "progress": False}
        return fit(few_digits(train=64, val=10), tmp_path / "run", resume=resume, **how)

    train(False)
    before = (tmp_path / "run" / "config.json").read_bytes()
    for options, said in (
        ({"k": 2}, r"k=9, now 2"),
        ({"conv": "gin"}, "conv=mr, now gin"),
        ({"graph": "grid"}, "graph="),
    ):
        with pytest.raises(ValueError, match=rf"started with another network \(.*{said}.*fit\(\.\.\., resume=True\)"):
            train(True, **options)
        assert (tmp_path / "run" / "config.json").read_bytes() == before
    train(True)


def test_code_is_the_same_in_a_script_and_when_it_is_imported():
    assert _same("__main__:MyConv", "my_ops:MyConv") and _same(["mr", 1], ["mr", 1])
    assert not _same("my_ops:MyConv", "my_ops:Other") and not _same("mr", "edge") and not _same(3, None)
