"""Mistakes in paths and options are found before a model is made or downloaded, and before data is read."""

import sys

import pytest
from PIL import Image

from tests.cli.common import fails
from vig_pyg.models import VisionGNN

#: Options that every command for images has, with words of the message.
LOADING = [
    (["--batch-size", "0"], "--batch-size must be at least 1"),
    (["--num-workers", "-1"], "--num-workers at least 0"),
    (["--device", "nowhere"], "no device 'nowhere'"),
]
FILES = [
    (["--json", "there.json"], "there.json exists already"),
    (["--csv", "there.json"], "there.json exists already"),
    (["--json", "new.txt", "--csv", "new.txt"], "new.txt"),
    (["--json", "photo.png/new.json"], "photo.png"),
]
CLASSIFIER = [
    (["--weights", "none.pth"], "no weight file at none.pth"),
    (["--image-size", "0"], "--image-size must be at least 1"),
]
NO_IMAGE = [
    (["none.png"], "no image at none.png"),
    (["photo.png", "none.png"], "none.png"),
    (["*.gif"], "*.gif"),
    (["empty"], "empty has no images"),
]
SCORE = [(["--score", "2"], "must be from 0 to 1, got 2.0"), (["--score", "nan"], "must be from 0 to 1, got nan")]
#: A command that would succeed with a model, and what is wrong in addition to it or instead of its last word.
COMMANDS = {
    "predict": (
        ["predict", "MODEL", "photo.png"],
        [*LOADING, *FILES, *CLASSIFIER, (["--topk", "0"], "--topk must be")],
    ),
    "evaluate": (
        ["evaluate", "MODEL", "photos"],
        [
            *LOADING,
            *FILES,
            *CLASSIFIER,
            (["--split", "val"], "--split applies only to data"),
            (["--root", "x"], "--root applies only to data"),
        ],
    ),
    "graph": (
        ["graph", "MODEL", "photo.png"],
        [
            *LOADING[2:],
            *CLASSIFIER,
            (["--out", "there.json"], "there.json exists already"),
            (["--out", "new.what"], "new.what cannot be drawn"),
            (["--out", "none/new.png"], "none does not exist"),
            (["--patch", "1.5,0"], "1.5"),
        ],
    ),
    "detect predict": (
        ["detect", "predict", "MODEL", "photo.png"],
        [*LOADING, *FILES, *SCORE, (["--out", "photos"], "photos exists already")],
    ),
    "detect evaluate": (
        ["detect", "evaluate", "MODEL", "boxes.json"],
        [*LOADING, *FILES, *SCORE, (["--out", "there.json"], "there.json exists already")],
    ),
    "segment predict": (
        ["segment", "predict", "MODEL", "photo.png"],
        [*LOADING[2:], (["--out", "photos"], "photos exists already"), (["--window", "0", "8"], "window")],
    ),
    "segment evaluate": (
        ["segment", "evaluate", "MODEL", "roads"],
        [*LOADING, *FILES, (["--stride", "8", "8"], "stride")],
    ),
}
MISSING = {
    "predict": NO_IMAGE,
    "evaluate": [(["none"], "folder none does not exist"), (["photo.png"], "photo.png is a file")],
    "graph": [(["none.png"], "none.png"), (["broken.png"], "broken.png cannot be read as an image")],
    "detect predict": NO_IMAGE,
    "detect evaluate": [
        (["none.json"], "no COCO file at none.json"),
        (["none:val"], "none"),
        (["photos"], "Expected FILE"),
    ],
    "segment predict": NO_IMAGE,
    "segment evaluate": [(["none"], "no file or folder none"), (["photos"], "photos is not a known source")],
}
CASES = [(command + extra, words) for command, faults in COMMANDS.values() for extra, words in faults]
CASES += [(COMMANDS[name][0][:-1] + last, words) for name, faults in MISSING.items() for last, words in faults]
DATA = ["--train", "boxes.json", "--val", "boxes.json", "--out", "run"]
TRAINING = [
    (["train", "--data", "photos", "--weights", "none.pth"], "no weight file at none.pth"),
    (["train", "--data", "photos", "--out", "photos"], "photos"),
    (["train", "--data", "photos", "--model", "nothing"], "nothing"),
    (["ablate", "--data", "photos", "--weights", "none.pth"], "no weight file at none.pth"),
    (["ablate", "--data", "photos", "--seeds", "0"], "--seeds must be at least 1"),
    (["detect", "train", *DATA, "--weights_backbone", "none.pth"], "no weight file at none.pth"),
    (["detect", "train", *DATA, "--val", "none.json"], "no COCO file at none.json"),
    (["detect", "train", *DATA, "--out", "photos"], "photos"),
    (["segment", "train", "--train", "roads", "--val", "roads", "--out", "run", "--weights_backbone", "none.pth"],
     "no weight file at none.pth"),
    (["segment", "train", "--train", "roads", "--val", "none", "--out", "run"], "no file or folder none"),
    (["convert", "none.pth", "out.pth"], "no weight file at none.pth"),
    (["convert", "vig_tiny", "there.json"], "there.json exists already"),
    (["convert", "vig_tiny", "out.what"], "expected .safetensors"),
    (["convert", "photos", "new", "--format", "official"], "leave out --format official"),
]  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with inputs, in which every slow step is an error of the test."""
    from vig_pyg.classification.sources import FolderData
    from vig_pyg.detection import loading as detection
    from vig_pyg.segmentation import loading as segmentation

    for name in ("photos/red", "empty", "roads/images", "roads/masks"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "red" / "0.png")
    (tmp_path / "broken.png").write_text("no image")
    (tmp_path / "roads" / "classes.txt").write_text("sky\nroad\n")
    for name in ("there.json", "boxes.json"):
        (tmp_path / name).write_text("{}")
    monkeypatch.chdir(tmp_path)

    def slow(*_, **__):
        raise AssertionError("a slow step ran before the check")

    monkeypatch.setattr(VisionGNN, "__init__", slow)
    monkeypatch.setattr(FolderData, "__init__", slow)
    monkeypatch.setattr(sys.modules["vig_pyg.weights.load"], "download", slow)
    for module in (detection, segmentation):
        monkeypatch.setattr(module, "open_source", slow)
    before = sorted(tmp_path.rglob("*"))
    yield
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


@pytest.mark.parametrize(("argv", "words"), CASES, ids=lambda part: " ".join(part) if isinstance(part, list) else "")
@pytest.mark.parametrize("model", ["vig_tiny", "missing"])
def test_inputs_and_outputs_are_checked_before_the_model(argv, words, model, place, capsys):
    argv = [model if part == "MODEL" else part for part in argv]
    assert words in fails(capsys, *argv)


@pytest.mark.parametrize(("argv", "words"), TRAINING, ids=lambda part: " ".join(part) if isinstance(part, list) else "")
def test_paths_are_checked_before_data_is_read(argv, words, place, capsys):
    assert words in fails(capsys, *argv)


def test_what_is_right_reaches_the_model(place, capsys):
    """Otherwise the tests above would find nothing."""
    from vig_pyg.cli import main

    with pytest.raises(AssertionError, match="a slow step"):
        main(["predict", "vig_tiny", "photo.png"])
    with pytest.raises(AssertionError, match="a slow step"):
        main(["train", "--data", "photos"])
