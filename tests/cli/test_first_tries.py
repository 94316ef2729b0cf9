"""What a newcomer types first: each mistake is told in one line that says what to do."""

import pytest
from PIL import Image

from tests.cli.common import fails
from tests.detection.scenes import make_voc
from tests.segmentation.scenes import make_folder
from vig_pyg import vig_micro
from vig_pyg.cli import main

LIST = ["--out", "new"]
CASES = [
    (["predict", "photo.jpg", "runs/mine"], "photo.jpg is an image: the model comes first, then the images"),
    (["evaluate", "photo.jpg", "photos"], "photo.jpg is an image: the model comes first, then the images."),
    (["detect", "predict", "./photo.jpg", "photo.jpg"], "photo.jpg is an image: the model comes first"),
    (["predict", "runs/mine/model.safetensors", "photo.jpg"],
     "runs/mine/model.safetensors is a file of the model in runs/mine: pass the folder."),
    (["predict", "runs", "photo.jpg"], "It has mine: pass one of them, such as runs/mine."),
    (["segment", "predict", "runs", "photo.jpg"], "It has mine: pass one of them, such as runs/mine."),
    (["train", "--resume", "runs/mine/config.json"], "Pass its folder, runs/mine."),
    (["segment", "train", "--resume", "runs/mine/config.json"], "Pass its folder, runs/mine."),
    (["train", "photos"], "see vig-pyg train --help. Did you mean --data photos?"),
    (["detect", "train", "VOC:train"], "every value follows its flag; see vig-pyg detect train --help.\n"),
    (["segment", "train", "roads"], "Did you mean --train roads?"),
    (["segment", "train", "--train", "roads", "--val", "roads/val", *LIST], "Did you mean roads/train? The forms are"),
    (["segment", "train", "--train", "roads/train/images", "--val", "roads/val", *LIST], "Did you mean roads/train?"),
    (["detect", "train", "--train", "VOC", "--val", "VOC:test", *LIST], "got 'VOC'. Did you mean VOC:train?"),
    (["detect", "train", "--train", "boxes", "--val", "VOC:test", *LIST], "Did you mean boxes/annotations/val.json?"),
]  # fmt: skip
PARSED = [
    (["predict", "runs/mine"], "vig-pyg: These arguments are missing: PATH; see vig-pyg predict --help."),
    (
        ["predict", "runs/mine", "photo.jpg", "--topk", "many"],
        "Argument --topk: expected a whole number, got 'many'; see",
    ),
    (["detect", "predict", "runs/mine", "photo.jpg", "--score", "x"], "expected a number, got 'x'; see"),
    (["models", "pvig"], "Unexpected argument 'pvig': this command has only flags; see vig-pyg models --help."),
    (["export", "runs/mine", "x.onnx"], "completion; a model is exported in Python, with vig_pyg.export; see"),
    (["hub", "push", "runs/mine"], "completion; a model is uploaded in Python, with its method push_to_hub; see"),
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    vig_micro(num_classes=2).save_pretrained(tmp_path / "runs" / "mine")
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.jpg")
    (tmp_path / "photos" / "red").mkdir(parents=True)
    for name in ("train", "val"):
        make_folder(tmp_path / "roads" / name, count=1)
    make_voc(tmp_path / "VOC")
    (tmp_path / "boxes" / "annotations").mkdir(parents=True)
    (tmp_path / "boxes" / "annotations" / "val.json").touch()
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("argv", "told"), CASES, ids=[" ".join(argv) for argv, _ in CASES])
def test_a_mistake_says_what_to_do(place, capsys, argv, told):
    assert told in fails(capsys, *argv)


@pytest.mark.parametrize(("argv", "told"), PARSED, ids=[" ".join(argv) for argv, _ in PARSED])
def test_a_mistake_in_the_words_says_what_to_do(place, capsys, argv, told):
    with pytest.raises(SystemExit):
        main(argv)
    assert told in capsys.readouterr().err
