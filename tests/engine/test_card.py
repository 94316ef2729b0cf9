import subprocess
from pathlib import Path

import pytest

import vig_pyg
from tests.classification.job import few_digits
from vig_pyg import vig_micro
from vig_pyg._io.launcher import UV
from vig_pyg.classification import ClassificationConfig, load_config
from vig_pyg.engine import card as card_file
from vig_pyg.engine.card import commit, differing, model_card
from vig_pyg.engine.metrics import MetricsHistory


@pytest.mark.parametrize("keep", ["last", "best"])
def test_the_card_says_what_counts(tmp_path, monkeypatch, keep):
    monkeypatch.setattr("sys.argv", ["/somewhere/vig-pyg", "train", "--out", "my run"])
    history = MetricsHistory("val_accuracy", keep=keep)
    history.rows = [
        {"epoch": 1, "val_accuracy": 0.75, "val_top5": 0.9, "val_loss": 0.5},
        {"epoch": 2, "val_accuracy": 0.5, "val_top5": 0.8, "val_loss": 0.25},
    ]
    recipe = load_config("digits", ("test", {"ema": 0.9, "seed": 17, "keep": keep}))
    card = model_card(tmp_path, vig_micro(num_classes=10), few_digits(), history, recipe)
    assert card.startswith("# vig_micro on digits\n")
    assert f"| top-1 accuracy | {75 if keep == 'best' else 50}.00 % |" in card
    assert f"| epoch | {1 if keep == 'best' else 2} of 20 |" in card
    assert ("optimistically biased" in card) == (keep == "best")
    for part in (
        "Command: `vig-pyg train --out 'my run'`",
        "Seed: 17",
        "torch 2",
        "- ema: 0.9",
        "192 training, ",
        "decay 0.9",
    ):
        assert part in card
    assert "\n\n\n" not in card


@pytest.mark.parametrize("count", [0, 1, 10, 13])
def test_images_that_are_left_out_are_counted_and_named(tmp_path, count):
    data = few_digits()
    data.left_out = [f"my_images/{i}.png: the file is empty" for i in range(count)]
    card = card_of(data, tmp_path)
    assert [f"- my_images/{i}.png: the file is empty\n" in card for i in range(13)] == [
        i < min(count, 10) for i in range(13)
    ]
    start = {0: "", 1: "\n1 image is left out, ", 10: "\n10 images are left out, ", 13: "\n13 images are left out, "}[
        count
    ]
    assert start in card and ("left out" in card) == bool(count)
    assert ("- and 3 more (`left_out.csv` has all)" in card) == (count == 13)


@pytest.mark.parametrize("smoothing", [0, 0.2])
def test_a_loss_with_smoothed_labels_is_explained(tmp_path, smoothing):
    card = card_of(few_digits(), tmp_path, label_smoothing=smoothing)
    assert ("label smoothing 0.2: it cannot fall below 0.87" in card) == bool(smoothing)


@pytest.mark.parametrize(
    ("argv", "uv", "told"),
    [
        (["/venv/bin/vig-pyg", "train"], True, "uv run vig-pyg train"),
        (["/venv/bin/vig-pyg", "train"], False, "vig-pyg train"),
        (["/home/me/my_train.py", "--lr", "0.1"], True, "my_train.py --lr 0.1"),
        (["/home/me/__main__.py"], True, "__main__.py"),
        ([str(Path(vig_pyg.__file__).parent / "__main__.py"), "train"], True, "uv run vig-pyg train"),
    ],
)
def test_commands_are_as_the_user_starts_them(tmp_path, monkeypatch, argv, uv, told):
    if uv:
        monkeypatch.setenv(UV, "1")
    monkeypatch.setattr("sys.argv", argv)
    card = card_of(few_digits(), tmp_path)
    assert f"- Command: `{told}`\n" in card
    assert ("\nuv run vig-pyg predict" in card) == uv


def card_of(data, folder, **values):
    history = MetricsHistory("val_accuracy")
    history.rows = [{"epoch": 1, "val_accuracy": 0.75, "val_loss": 0.5}]
    return model_card(folder, vig_micro(num_classes=10), data, history, load_config("digits", ("test", values)))


def test_how_a_value_came_to_differ_is_not_guessed(tmp_path):
    """A run in Python has neither a preset nor flags."""
    card = card_of(few_digits(), tmp_path)
    assert "These values differ from the defaults (`config.yaml` has all values):" in card and "preset" not in card


def test_only_what_differs_is_listed():
    assert differing(ClassificationConfig()) == {}
    assert differing(ClassificationConfig(lr=0.1)) == {"lr": 0.1}


def git(folder, *argv):
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *who, *argv], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_code(tmp_path, monkeypatch):
    """A repository with a copy of the file that asks for its commit."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(card_file, "__file__", str(tmp_path / "card.py"))
    (tmp_path / "card.py").write_text("code")
    assert commit() is None  # in no repository
    git(tmp_path, "init", "-q")
    (tmp_path / "other.py").write_text("other")
    git(tmp_path, "add", "other.py")
    git(tmp_path, "commit", "-qm", "other")
    assert commit() is None  # in one, but not a part of it: a virtual environment inside of a project
    git(tmp_path, "add", "card.py")
    git(tmp_path, "commit", "-qm", "first")
    first = git(tmp_path, "rev-parse", "HEAD")[:12]
    assert commit() == f"commit {first}"
    (tmp_path / "card.py").write_text("changed")
    assert commit() == f"commit {first}-dirty"
    git(tmp_path, "commit", "-qam", "second")
    assert commit() == f"commit {git(tmp_path, 'rev-parse', 'HEAD')[:12]}" != f"commit {first}"


def test_no_git_is_no_error(monkeypatch):
    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr("subprocess.run", missing)
    assert commit() is None
