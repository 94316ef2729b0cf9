import importlib
import logging
import os

import pytest
import torch
from PIL import Image

from tests.classification.job import NETWORK, few_digits, fit, run
from vig_pyg import load
from vig_pyg._requirements import missing_message
from vig_pyg.classification import ClassificationConfig
from vig_pyg.classification.module import Classifier
from vig_pyg.engine import describe as module

#: Names that matplotlib, Markdown, a terminal or a font may stumble over.
NAMES = [
    "\\frac",
    "$x",
    "$$",
    "$\\invalid{$",
    "🦆 🇺🇳",
    "x" * 300,
    "two\nlines",
    "\u202eשלום مرحبا",
    "\x1b[2J\x00",
    "_^{}\\mathdefault",
    "",
    "\ud800",
    "</code> | `a` <img src=x>",
]
MADE = ["README.md", "best.safetensors", "config.json", "config.yaml", "confusion.png", "curves.png", "graph.png",
        "last.ckpt", "metrics.csv", "model.safetensors"]  # fmt: skip


def named(names):
    """Digits whose classes have other names; what is above them are of the last class."""
    data = few_digits(train=64, val=30)
    for part in (data.train_set, data.val_set):
        part.labels = [min(label, len(names) - 1) for label in part.labels]
    data.class_names = list(names)
    return data


def train(out, names=("a", "b"), **options):
    recipe = ClassificationConfig(epochs=1, accelerator="cpu")
    return fit(named(names), out, model="vig_micro", options=NETWORK, recipe=recipe, progress=False, **options)


@pytest.mark.parametrize("first", (0, 7))
def test_names_of_classes_may_be_anything(tmp_path, caplog, first):
    names = NAMES[first : first + 7]
    train(tmp_path / "run", names)
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == MADE
    assert load(tmp_path / "run").class_names == names
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    if len(said) == 1:  # where no installed font has a name, the picture shows a number, and a warning says which
        message = said.pop().getMessage()  # matplotlib before 3.11 does not lay out names from right to left
        assert ('class 4" is 🦆' in message and first == 0) or ("needs a layout" in message and first == 7)
    assert not said
    for name in ("confusion.png", "curves.png", "graph.png"):
        with Image.open(tmp_path / "run" / name) as image:
            assert min(image.size) > 200
    card = (tmp_path / "run" / "README.md").read_text()
    assert all(char.isprintable() or char == "\n" for char in card)


@pytest.mark.parametrize(
    ("owner", "name", "file", "error"),
    [
        ("classification.data", "draw_confusion", "confusion.png", ValueError("broken\x1b")),
        ("engine.describe", "draw_curves", "curves.png", MemoryError("full")),
        ("classification.data", "draw_graph", "graph.png", RuntimeError()),
        ("engine.describe", "model_card", "README.md", KeyError("x")),
        ("engine.describe", "write_file", "README.md", OSError(28, "No space left on device")),
        ("engine.card", "subprocess.run", "README.md", ValueError("odd git")),
        ("engine.plots", "figure", "curves.png", ImportError("a library that matplotlib needs")),
    ],
)
def test_what_cannot_be_made_is_a_warning_and_resume_makes_it(whole, monkeypatch, caplog, owner, name, file, error):
    def fail(*_, **__):
        raise error

    out = whole / "run"
    weights = (out / "model.safetensors").read_bytes()
    for part in (file, "model.safetensors"):
        (out / part).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(f"vig_pyg.{owner}.{name}", fail)
        train(out, resume=True)
    assert (out / "model.safetensors").read_bytes() == weights
    warned = [record.getMessage() for record in caplog.records if file in record.getMessage()]
    assert not (out / file).exists()
    assert "The run is complete without it" in warned[0] and type(error).__name__ in warned[0]
    train(out, resume=True)
    assert sorted(p.name for p in out.iterdir()) == MADE


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("describe")
    train(folder / "run")
    return folder


def test_without_matplotlib_it_is_said_before_the_first_step(tmp_path, monkeypatch, caplog):
    find, seen = module.can_draw.__globals__["find_spec"], []
    monkeypatch.setattr("vig_pyg.engine.preflight.find_spec", lambda name: None if name == "matplotlib" else find(name))
    original = Classifier.training_step

    def step(*args):
        seen.append([record.getMessage() for record in caplog.records])
        return original(*args)

    monkeypatch.setattr(Classifier, "training_step", step)
    train(tmp_path / "run")
    assert missing_message("matplotlib is missing, so the run has no figures", "plot") in seen[0]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [name for name in MADE if "png" not in name]
    assert len(load(tmp_path / "run").class_names) == 2


@pytest.mark.parametrize("place", ["write_weights", "describe", "model_card"])
def test_an_interrupt_after_the_last_step_can_be_resumed(tmp_path, monkeypatch, place):
    """The weights are those of a run that nothing happened to, and are there before anything else."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    target = "describe" if place == "model_card" else "training"

    owner = importlib.import_module(f"vig_pyg.engine.{target}")
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, stop)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", epochs=1)
    assert (tmp_path / "run" / "model.safetensors").exists() == (place != "write_weights")
    run(tmp_path / "run", epochs=1, resume=True)
    run(tmp_path / "whole", epochs=1)
    assert sorted(os.listdir(tmp_path / "run")) == sorted(os.listdir(tmp_path / "whole"))
    for name in ("model.safetensors", "metrics.csv", "confusion.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["epoch"] == 0


def test_the_figures_know_how_many_images_and_steps_there_were(tmp_path, monkeypatch):
    seen, original = [], module.draw_curves
    monkeypatch.setattr(module, "draw_curves", lambda rows, **how: seen.append(how) or original(rows, **how))
    train(tmp_path / "run")
    losses = seen[0].pop("step_losses")
    note = "The training loss has label smoothing 0.1: it cannot fall below 0.20. The validation loss has none."
    assert seen == [{"steps": 1, "val_images": 30, "note": note}] and [list(step) for step in losses] == [
        ["train_loss"]
    ]
    assert "on only 30 validation images, each counted once:" in (tmp_path / "run" / "README.md").read_text()
