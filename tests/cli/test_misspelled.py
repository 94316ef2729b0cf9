"""A misspelled path or name is answered with the nearest one that exists, at every door of the command line."""

import pytest

from tests.cli.common import fails
from tests.images import make_folder
from vig_pyg import pvig_micro
from vig_pyg.classification import FolderData, find_images, find_labeled
from vig_pyg.cli import main


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of a user: photos, a model, annotations, masks, weights, settings and modules."""
    root = tmp_path_factory.mktemp("place")
    make_folder(root / "photos")
    model = pvig_micro(num_classes=2)
    model.save_pretrained(root / "runs" / "mine")
    (root / "mine").symlink_to(root / "runs" / "mine")
    (root / "annotations.json").write_text("{}")
    (root / "settings.yaml").write_text("epochs: 1\n")
    (root / "labels.csv").write_text("path,label\n")
    (root / "shards").mkdir()
    (root / "roads").mkdir()
    (root / "weights.pth").touch()
    (root / "my_places.py").write_text("from torch import nn\n\nclass MyConv(nn.Module):\n    pass\n")
    return root


PHOTO = "photos/val/red/0.png"
BUILT_IN = [("digist", "digits"), ("Digits", "digits"), ("cifra10", "cifar10"), ("CIFAR10", "cifar10")]
CASES = [
    (["train", "--data", "photso"], "photos"),
    (["train", "--data", "lables.csv"], "labels.csv"),
    *((["train", "--data", typed], meant) for typed, meant in BUILT_IN),
    *((["evaluate", "runs/mine", typed], meant) for typed, meant in BUILT_IN),
    (["train", "--data", "wds/shrads"], "shards"),
    (["train", "--data", "./photo"], "photos"),
    (["train", "--config", "seting.yaml"], "settings.yaml"),
    (["train", "--resume", "runs/mien"], "runs/mine"),
    (["train", "--data", "photos", "--model", "pvig_micro", "--weights", "wieghts.pth"], "weights.pth"),
    (["train", "--data", "photos", "--conv", "my_places:MyCnv"], "my_places:MyConv"),
    (["train", "--data", "photos", "--conv", "my_plaecs:MyConv"], "my_places:MyConv"),
    (["ablate", "--data", "photos", "--conv", "mr", "my_places:myconv", "--out", "new"], "my_places:MyConv"),
    (["predict", "runs/mnie", PHOTO], "runs/mine"),
    (["predict", "run/mine", PHOTO], "runs/mine"),
    (["predict", "minne", PHOTO], "mine"),
    (["predict", "runs/mine", "photos/val/rde"], "photos/val/red"),
    (["predict", "runs/mine", "photso/val/red/0.png"], PHOTO),
    (["predict", "vig_tiny", PHOTO, "--weights", "wieghts.pth"], "weights.pth"),
    (["evaluate", "runs/mine", "photos/vl"], "photos/val"),
    (["evaluate", "runs/mine", "lables.csv"], "labels.csv"),
    (["evaluate", "runs/mine", "my_plces:Stripes"], "my_places:Stripes"),
    (["evaluate", "runs/mine", "wds/shrads"], "shards"),
    (["graph", "runs/mien", PHOTO], "runs/mine"),
    (["graph", "runs/mine", "phtos/val/red/0.png"], PHOTO),
    (["graph", "runs/mine", PHOTO, "--graph", "my_placs:Ring"], "my_places:Ring"),
    (["convert", "wieghts.pth", "out.pth"], "weights.pth"),
    (
        ["detect", "train", "--train", "anotations.json", "--val", "annotations.json", "--out", "new"],
        "annotations.json",
    ),
    (["detect", "evaluate", "runs/mine", "annotation.json"], "annotations.json"),
    (["detect", "predict", "runs/mien", PHOTO], "runs/mine"),
    (["detect", "predict", "runs/mine", "photso"], "photos"),
    (["segment", "train", "--train", "raods", "--val", "roads", "--out", "new"], "roads"),
    (["segment", "evaluate", "runs/mine", "rods"], "roads"),
    (["segment", "predict", "runs/mien", PHOTO], "runs/mine"),
    (["segment", "predict", "runs/mine", "photso"], "photos"),
]


def offline(*_, **__):
    raise OSError("offline")


@pytest.mark.parametrize(
    ("argv", "meant"), CASES, ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_every_door_names_the_nearest(place, capsys, monkeypatch, argv, meant):
    monkeypatch.chdir(place)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    monkeypatch.syspath_prepend(place)
    assert f"Did you mean {meant}?" in fails(capsys, *argv)


@pytest.mark.parametrize("name", ["vig_micr", "pvig_smal"])
def test_a_model_and_a_folder_of_nearly_the_same_name_are_one_question(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.png").touch()
    alone = fails(capsys, "predict", name, "a.png")
    assert alone.count("Did you mean") == 1 and " or " not in alone.partition("? ")[0]
    (tmp_path / f"{name}x").mkdir()
    both = fails(capsys, "predict", name, "a.png")
    assert both.count("Did you mean") == 1 and f" or {name}x? Pass a run folder" in both


def test_a_misspelled_model_is_suggested_for_its_conversion(tmp_path, capsys):
    for wrong, meant in {"pvig_smal": "pvig_small", "vig_tny": "vig_tiny"}.items():
        assert f"Did you mean the published weights {meant!r}?" in fails(capsys, "convert", wrong, tmp_path / "a.pth")


@pytest.mark.parametrize(
    "argv",
    [*([*argv[: i + 1], "", *argv[i + 2 :]] for argv, _ in CASES for i in range(len(argv) - 1)), ["train", "--data="]],
    ids=" ".join,
)
def test_an_empty_argument_is_refused(place, capsys, monkeypatch, argv):
    """As a path, it would be the current folder."""
    monkeypatch.chdir(place)
    before = argv[argv.index("") - 1] if "" in argv else argv[-1]
    with pytest.raises(SystemExit, match="2"):
        main(argv)
    assert capsys.readouterr().err == (
        f"vig-pyg: The argument after {before!r} is empty: name it, or write . for the current folder.\n"
    )


@pytest.mark.parametrize("use", [lambda: find_images([""]), lambda: FolderData(""), lambda: find_labeled("", ["a"])])
def test_an_empty_path_is_refused_in_python_too(place, monkeypatch, use):
    monkeypatch.chdir(place)
    with pytest.raises(ValueError, match=r"is empty \(''\): name a"):
        use()
