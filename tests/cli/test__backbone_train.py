"""The backbone of a detector or a segmentation network that starts from a trained classifier."""

import pytest
import yaml

from tests.cli.common import fails
from vig_pyg import create_model
from vig_pyg.cli import main

DATA = ["--train", "a.json", "--val", "b.json"]
TASKS = ["detect", "segment"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A trained classifier in the folder `mine` of the current folder."""
    monkeypatch.chdir(tmp_path)
    create_model("pvig_micro", num_classes=2, k=5, patch_size=4, image_size=64).save_pretrained("mine")
    return tmp_path / "mine"


def printed(capsys, *argv):
    """The printed configuration, and what is said beside it."""
    capsys.readouterr()
    assert main([*argv, "--print-config"]) == 0
    out, err = capsys.readouterr()
    return yaml.safe_load(out), err


@pytest.mark.parametrize("task", TASKS)
def test_the_backbone_is_that_of_the_run(run, capsys, task):
    config, said = printed(capsys, task, "train", *DATA, "--weights-backbone", "mine")
    assert config["model"] == "pvig_micro"
    assert config["options"] == {"weights_backbone": "mine", "patch_size": 4, "k": 5, "image_size": 64}
    flags = "--model pvig_micro --patch-size 4 --k 5 --options.image-size 64"
    assert said == f"vig-pyg: note: the backbone is that of mine: {flags}\n"
    again, said = printed(capsys, task, "train", *DATA, "--weights-backbone", "mine", *flags.split())
    assert (again, said) == (config, "")
    (run.parent / "mine.yaml").write_text(yaml.safe_dump(config))  # as config.yaml of the new run
    assert printed(capsys, task, "train", "--config", "mine.yaml") == (config, "")


@pytest.mark.parametrize("task", TASKS)
def test_what_the_user_chooses_is_kept(run, capsys, task):
    start = [task, "train", *DATA, "--weights-backbone", "mine"]
    config, said = printed(capsys, *start, "--k", "4", "--options.drop-path-rate", "0.2")
    assert config["model"] == "pvig_micro" and said.endswith(
        "--model pvig_micro --patch-size 4 --options.image-size 64\n"
    )
    assert (config["options"]["k"], config["options"]["drop_path_rate"]) == (4, 0.2)
    config, said = printed(capsys, *start, "--model", "small")
    assert (config["model"], config["options"], said) == ("small", {"weights_backbone": "mine"}, "")
    (run.parent / "values.yaml").write_text("options: {weights_backbone: mine, k: 3}\n")
    config, _ = printed(capsys, task, "train", *DATA, "--config", "values.yaml")
    assert (config["model"], config["options"]["k"]) == ("pvig_micro", 3)
    (run.parent / "values.yaml").write_text("model: tiny\noptions: {weights_backbone: mine}\n")
    assert printed(capsys, task, "train", *DATA, "--config", "values.yaml")[0]["model"] == "tiny"


@pytest.mark.parametrize("task", TASKS)
def test_other_weights_have_no_say_in_the_backbone(run, capsys, task):
    for start in ("imagenet1k", "mine/model.safetensors", "https://example.org/vig.pth"):
        config, said = printed(capsys, task, "train", *DATA, "--weights-backbone", start)
        assert (config["model"], config["options"], said) == ("tiny", {"weights_backbone": start}, "")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("start", ["imagenet1k", "imagenet1k:ema"])
def test_a_folder_of_data_with_the_name_of_published_weights_does_not_replace_them(run, capsys, task, start):
    (run.parent / start).mkdir()
    config, said = printed(capsys, task, "train", *DATA, "--weights-backbone", start)
    assert (config["model"], config["options"], said) == ("tiny", {"weights_backbone": start}, "")


@pytest.mark.parametrize("task", TASKS)
def test_a_gray_classifier_is_adapted_if_the_user_says_so(run, capsys, task):
    create_model("pvig_micro", num_classes=2, k=5, in_channels=1).save_pretrained("gray")
    start = [task, "train", *DATA, "--weights-backbone", "gray"]
    assert "add --options.in-channels 3" in fails(capsys, *start, "--out", "new")
    config, _ = printed(capsys, *start, "--options.in-channels", "3")
    assert (config["model"], config["options"]["in_channels"], config["options"]["k"]) == ("pvig_micro", 3, 5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vig_micro", {}, "gray is a ViG, which has a single scale, so it cannot be a backbone"),
        (
            "pvig_micro",
            {"in_channels": 1},
            "gray expects images with in_channels=1, but images are read in color here: ",
        ),
    ],
)
def test_a_classifier_that_cannot_be_a_backbone_is_refused(run, capsys, task, name, options, words):
    create_model(name, num_classes=2, **options).save_pretrained("gray")
    assert words in fails(capsys, task, "train", *DATA, "--weights-backbone", "gray", "--out", "new")


@pytest.mark.parametrize("task", TASKS)
def test_a_run_imports_no_code_that_the_user_does_not_name(run, capsys, task):
    text = (run / "config.json").read_text().replace('"conv": "mr"', '"conv": "strange_ops:Theirs"')
    (run / "config.json").write_text(text)
    said = fails(capsys, task, "train", *DATA, "--weights-backbone", "mine", "--print-config")
    assert (
        said == "vig-pyg: mine names the code strange_ops:Theirs: pass --conv strange_ops:Theirs too if you trust it.\n"
    )
    config, said = printed(capsys, task, "train", *DATA, "--weights-backbone", "mine", "--conv", "gin")
    assert config["options"]["conv"] == "gin" and "--conv" not in said
