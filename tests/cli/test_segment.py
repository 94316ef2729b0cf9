import csv
import json
import shutil

import pytest
import yaml
from PIL import Image

from tests.cli.common import fails
from tests.segmentation.scenes import make_folder
from vig_pyg.cli import main

NETWORK = ["--model", "micro", "--options.out_channels", "16", "--options.head_channels", "8"]
RUN = ["--crop-size", "[32, 32]", "--epochs", "2", "--batch-size", "2", "--num-workers", "0", "--quiet"]
TRAINING = [*NETWORK, *RUN]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images with masks, and a network that was trained on them by the command."""
    root = tmp_path_factory.mktemp("segment")
    data = make_folder(root / "data", count=4)
    arguments = ["segment", "train", "--train", str(data), "--val", str(data), "--out", str(root / "run"), *TRAINING]
    assert main([*arguments, "--lr", "0.005", "--class-weights", "sqrt", "--augmentation.scale", "[0.8, 1.2]"]) == 0
    return root


def test_train_leaves_a_run_folder_that_can_be_resumed(files, tmp_path, capsys):
    config = yaml.safe_load((files / "run" / "config.yaml").read_text())
    assert (config["class_weights"], config["crop_size"], config["schedule"]) == ("sqrt", [32, 32], "poly")
    assert config["augmentation"]["scale"] == [0.8, 1.2]
    shutil.copytree(files / "run", tmp_path / "run")
    assert main(["segment", "train", "--resume", str(tmp_path / "run"), "--quiet"]) == 0
    said, err = capsys.readouterr()
    assert said == (
        "The run is complete (2 epochs), so nothing is trained. To train longer, from the beginning, start a new run: "
        f"vig-pyg segment train --config {tmp_path / 'run' / 'config.yaml'} --epochs MORE --out NEW\n"
    )
    assert err == ""
    (tmp_path / "run" / "README.md").unlink()
    assert main(["segment", "train", "--resume", str(tmp_path / "run"), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Resuming semantic_fpn with micro on ") and " for validation, " in said
    assert "mIoU" in said and "IoU_road" in said and "model.safetensors" in said
    assert "(only 4 validation images)\n" in said and (tmp_path / "run" / "README.md").is_file()
    for name in ("metrics.csv", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (files / "run" / name).read_bytes()


def test_print_config_is_a_file_for_config(files, tmp_path, capsys):
    data = str(files / "data")
    assert main(["segment", "train", "--train", data, "--val", data, "--print-config", "--steps", "40000"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out)
    assert main(["segment", "train", "--config", str(tmp_path / "mine.yaml"), "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["steps"] == 40000


def test_evaluate_prints_and_writes_the_scores(files, tmp_path, capsys):
    arguments = ["segment", "evaluate", str(files / "run"), str(files / "data"), "--num-workers", "0", "--quiet"]
    outputs = ["--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv")]
    assert main([*arguments, *outputs, "--device", "cpu"]) == 0
    said, note = capsys.readouterr()
    assert note.startswith(f"vig-pyg: note: {files / 'run'} was trained on these images")
    content = json.loads((tmp_path / "a.json").read_text())
    assert f"mIoU {100 * content['mIoU']:.1f} %" in said
    assert [entry["name"] for entry in content["classes"]] == ["sky", "road", "tree"]
    assert sum(map(sum, content["confusion"])) == sum(entry["pixels"] for entry in content["classes"])
    with (tmp_path / "a.csv").open() as file:
        assert [row["class"] for row in csv.DictReader(file)] == ["sky", "road", "tree"]
    assert main([*arguments, *outputs]) == 2  # the files exist
    assert main([*arguments, "--window", "24", "32", "--stride", "12", "16", "--flip"]) == 0
    assert main([*arguments, "--stride", "12", "16"]) == 2


@pytest.mark.parametrize("above", [False, True])
def test_results_never_replace_what_evaluate_reads(files, tmp_path, capsys, above):
    data = make_folder(tmp_path / "data" / "val", count=2)
    if above:
        (data / "classes.txt").rename(tmp_path / "data" / "classes.txt")
    shutil.copytree(files / "run", tmp_path / "run")
    read = [path for path in (tmp_path / "data").rglob("*") if path.is_file()]
    read += [tmp_path / "run" / name for name in ("config.json", "model.safetensors")]
    before = {path: path.read_bytes() for path in read}
    assert len(read) == 7
    command = ["segment", "evaluate", tmp_path / "run", data, "--overwrite", "--num-workers", "0", "--quiet"]
    for i, path in enumerate(read):
        told = fails(capsys, *command, "--csv" if i % 2 else "--json", path)
        assert "which is an input: choose another name" in told
    (tmp_path / "link.csv").hardlink_to(data / "masks" / "0.png")
    assert "which is an input" in fails(capsys, *command, "--csv", tmp_path / "link.csv")
    assert {path: path.read_bytes() for path in read} == before


def test_two_outputs_need_two_names(files, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["segment", "evaluate", files / "run", files / "data", "--num-workers", "0", "--quiet"]
    (tmp_path / "old").write_text("")
    for json_name, csv_name in (("x", "x"), ("x", "./x"), (tmp_path / "x", "x"), ("a/../x", "x"), ("old", "old")):
        told = fails(capsys, *command, "--json", json_name, "--csv", csv_name, "--overwrite")
        assert "Two outputs are both" in told
    assert [path.name for path in tmp_path.iterdir()] == ["old"] and not (tmp_path / "old").read_text()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("images/2.png", None, "cannot be read: damaged or cut short"),
        ("masks/2.png", b"x", "cannot be used: not an image"),
    ],
)
def test_a_bad_file_is_named_without_the_traceback_of_a_worker(files, tmp_path, capsys, name, content, reason):
    data = make_folder(tmp_path / "data", count=3)
    whole = (data / name).read_bytes()
    (data / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    command = ["segment", "evaluate", files / "run", data, "--quiet", "--num-workers"]
    alone, apart = (fails(capsys, *command, workers) for workers in ("0", "1"))
    assert alone == apart and name in alone and reason in alone and len(alone.splitlines()) == 1
    assert alone.strip().endswith("; correct or remove it.")
    (data / name.replace("2", "1")).write_bytes(b"x")
    assert " images cannot be used; correct or remove them:\n" in fails(capsys, *command, "0")


def test_predict_writes_masks_and_drawings(files, tmp_path, capsys):
    (tmp_path / "broken.jpg").write_bytes(b"x")
    images = str(files / "data" / "images")
    arguments = ["segment", "predict", str(files / "run"), images, str(tmp_path / "broken.jpg"), "--quiet"]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--rle", "--flip"]) == 1
    said = capsys.readouterr()
    assert "4 images, in" in said.out and "broken.jpg" in said.err
    assert len(list((tmp_path / "out" / "drawings").iterdir())) == 4
    assert (tmp_path / "out" / "predictions.json").is_file()
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: (data / "masks" / "1.png").unlink(), ["images/1.png", "no mask"]),
        (lambda data: (data / "classes.txt").write_text("sky\n"), ["masks/", "there are 1 classes"]),
        (lambda data: Image.new("RGB", (3, 3)).save(data / "masks" / "2.png"), ["masks/2.png", "without a palette"]),
        (lambda data: Image.new("L", (3, 3)).save(data / "masks" / "2.png"), ["masks/2.png", "3 x 3 pixels"]),
        (lambda data: (data / "classes.txt").unlink(), ["classes.txt"]),
        (lambda data: shutil.rmtree(data / "masks"), ["is not a known source"]),
    ],
)
def test_bad_data_is_one_line_with_the_file_and_leaves_nothing(tmp_path, capsys, spoil, words):
    data = make_folder(tmp_path / "data", count=4)
    spoil(data)
    arguments = [
        "segment",
        "train",
        "--train",
        str(data),
        "--val",
        str(data),
        "--out",
        str(tmp_path / "run"),
        *TRAINING,
    ]
    assert main(arguments) == 2
    said = capsys.readouterr().err.strip()
    assert all(word in said for word in words) and all(line.startswith("  ") for line in said.splitlines()[1:])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "run"], "--train is missing"),
        (["--train", "a", "--val", "b"], "--out is missing"),
        (["--train", "a", "--val", "b", "--out", "run"], "no file or folder a"),
        (["--train", "a", "--val", "b", "--los", "ohem"], "loss"),
        (["--resume", "nowhere"], "no run to resume"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["segment", "train", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
