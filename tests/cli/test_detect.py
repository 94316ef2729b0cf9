import csv
import json
import os
import re
import shutil
import signal

import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO

from tests.cli.common import check_presets_in_help, fails
from tests.detection.scenes import change, make_coco, make_voc
from vig_pyg._io.output import write_file
from vig_pyg.cli import main
from vig_pyg.cli.detect import make_parser
from vig_pyg.detection import predict as door
from vig_pyg.detection.config import make_config
from vig_pyg.detection.loading import read_run
from vig_pyg.detection.module import DetectorModule
from vig_pyg.detection.presets import PRESETS

QUICK = ["--model", "micro", "--min-size", "64", "--max-size", "96", "--options.out-channels", "16", "--epochs", "1"]
QUICK += ["--batch-size", "2", "--num-workers", "0", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a Pascal VOC folder, and the folder."""
    root = tmp_path_factory.mktemp("cli")
    voc = make_voc(root / "VOC")
    sources = ["--train", f"{voc}:train", "--val", f"{voc}:train"]
    assert main(["detect", "train", *sources, "--out", str(root / "run"), *QUICK]) == 0
    return root / "run", voc


def test_train_prints_precision_and_files(tmp_path, capsys):
    coco = str(make_coco(tmp_path / "data"))
    sources = ["--train", coco, "--val", coco, "--detector", "fasterrcnn", "--k", "5"]
    options = ["--augmentation.flip", "hv", "--augmentation.scale", "[0.5, 2]", "--augmentation.color", "0.1"]
    options += ["--schedule", "cosine", "--lr", "1e-3"]
    assert main(["detect", "train", *sources, *options, "--out", str(tmp_path / "run"), *QUICK]) == 0
    out = capsys.readouterr().out
    assert "AP50 blue" in out and "\n(only 6 validation images)\n" in out
    assert re.match(
        r"Training fasterrcnn with \w+ on \w+: 6 images, 6 for validation, 2 classes, \d epochs? of 3 steps\. Run", out
    )
    assert str(tmp_path / "run" / "model.safetensors") in out
    plan = read_run(tmp_path / "run")
    assert plan.options == {"min_size": 64, "max_size": 96, "out_channels": 16, "k": 5}
    assert (plan.detector, plan.schedule, plan.lr) == ("fasterrcnn", "cosine", 1e-3)
    assert (plan.augmentation.flip, plan.augmentation.scale, plan.augmentation.color) == ("hv", (0.5, 2.0), 0.1)


def test_train_starts_from_a_preset(capsys, tmp_path):
    sources = ["--train", "a.json", "--val", "b.json"]
    assert main(["detect", "train", *sources, "--preset", "3x", "--lr", "2e-4", "--k", "5", "--print-config"]) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert (values["epochs"], values["lr"], values["milestones"]) == (36, 2e-4, pytest.approx([0.75, 11 / 12]))
    assert values["options"] == {"min_size": list(range(480, 801, 32)), "max_size": 1333, "k": 5}
    flags = ["--augmentation.copy-paste", "0.5", "--augmentation.jitter", "[0.5, 1.5]", "--milestones", "[0.5]"]
    assert main(["detect", "train", *sources, "--preset", "lsj", *flags, "--print-config"]) == 0
    values = yaml.safe_load(capsys.readouterr().out)
    assert values["augmentation"] == {"flip": "h", "scale": [1.0, 1.0], "color": 0.0, "jitter": [0.5, 1.5],
                                      "jitter_size": 1024, "copy_paste": 0.5}  # fmt: skip
    assert values["milestones"] == [0.5]
    assert "Unknown preset '4x'" in fails(
        capsys, "detect", "train", *sources, "--preset", "4x", "--out", tmp_path / "run"
    )
    assert not (tmp_path / "run").exists()


def test_help_shows_the_values_of_the_presets():
    parser = make_parser()
    sources = ("test", {"train": "a.json", "val": "b.json"})
    usual, presets = make_config(sources), {name: make_config(sources, preset=name) for name in PRESETS}
    skipped = {"train", "val", "options"}  # the first two have no default; single options have their own flags
    assert set(check_presets_in_help(parser, usual, presets, skip=skipped)) == parser.checks.keys() - skipped


def test_evaluate_prints_precision_and_writes_results(trained, tmp_path, capsys):
    run, voc = trained
    out = tmp_path / "results.json"
    command = ["detect", "evaluate", str(run), f"{voc}:test", "--out", str(out), "--num-workers", "0", "--quiet"]
    assert main(command) == 0
    said, note = capsys.readouterr()
    assert "AP50" in said and note == ""
    assert all(result["image_id"] == 1 for result in json.loads(out.read_text()))
    assert "not overwritten" in fails(capsys, *command)
    assert "no list 'none'" in fails(capsys, "detect", "evaluate", run, f"{voc}:none", "--quiet")


def test_evaluate_writes_its_scores_as_json_and_csv(trained, tmp_path, capsys):
    run, voc = trained
    files = {name: tmp_path / f"scores.{name}" for name in ("json", "csv")}
    command = ["detect", "evaluate", str(run), f"{voc}:train", "--num-workers", "0", "--quiet"]
    assert main([*command, *(str(part) for name, path in files.items() for part in (f"--{name}", path))]) == 0
    assert f"note: {run} was trained on these images" in capsys.readouterr().err
    scores = json.loads(files["json"].read_text())["scores"]
    with files["csv"].open(newline="") as file:
        table = {row["name"]: float(row["value"]) if row["value"] else None for row in csv.DictReader(file)}
    assert table == scores
    assert scores.keys() >= {"AP", "AP50", "AP50 red"} and scores["AP_large"] is None  # no such object
    assert "not overwritten" in fails(capsys, *command, "--csv", files["csv"])
    assert "Two outputs are both" in fails(capsys, *command, "--csv", tmp_path / "a", "--json", tmp_path / "a")
    assert main([*command, "--score", "1", "--json", str(files["json"]), "--overwrite"]) == 0
    assert json.loads(files["json"].read_text())["scores"]["AP50"] == 0
    assert "was trained on these images" in capsys.readouterr().err
    assert "--score must be from 0 to 1, got 2.0" in fails(capsys, *command, "--score", "2")
    assert "--batch-size must be at least 1" in fails(capsys, *command, "--batch-size", "0")


def eager(run, copy):
    """A copy of a run whose detector reports objects of any score."""
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["model"]["options"]["detector"] = {"score_thresh": 0.0, "detections_per_img": 5}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@pytest.mark.parametrize("workers", [[], ["--num-workers", "3"]])
def test_no_more_processes_read_than_there_are_cores(trained, tmp_path, monkeypatch, workers):
    """torch would warn, and warnings are errors here."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    run, voc = trained
    images = [str(voc / "JPEGImages"), "--json", str(tmp_path / "found.json")]
    for command in (["predict", str(run), *images], ["evaluate", str(run), f"{voc}:train"]):
        assert main(["detect", *command, *workers, "--batch-size", "1", "--quiet"]) == 0


def test_predict_writes_objects_as_json_and_csv_in_batches(trained, tmp_path, capsys):
    """The same objects whatever the batch and the number of reading processes; --flip finds others."""
    run, voc = eager(trained[0], tmp_path / "run"), trained[1]
    (tmp_path / "bad.png").write_text("text")
    paths = [str(voc / "JPEGImages"), str(tmp_path / "bad.png")]
    results = {}
    options = {"alone": [], "batch": ["--batch-size", "3", "--num-workers", "1"], "flip": ["--flip"]}
    for name, more in options.items():
        files = {kind: tmp_path / f"{name}.{kind}" for kind in ("json", "csv")}
        named = [str(part) for kind, path in files.items() for part in (f"--{kind}", path)]
        assert main(["detect", "predict", str(run), *paths, "--score", "0.001", *named, *more, "--quiet"]) == 1
        assert f"in {files['json']}, {files['csv']}" in capsys.readouterr().out
        results[name] = json.loads(files["json"].read_text())
        with files["csv"].open(newline="") as file:
            table = list(csv.DictReader(file))
        objects = [(image["path"], one) for image in results[name]["images"] for one in image["objects"]]
        assert [(row["path"], row["name"]) for row in table if row["name"]] == [(p, o["name"]) for p, o in objects]
        boxes = [[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in table if row["name"]]
        assert boxes == [one["box"] for _, one in objects]
        assert [row["path"] for row in table if row["error"]] == [paths[1]]
        assert [one["path"] for one in results[name]["unreadable"]] == [paths[1]]
    assert not (tmp_path / "detections").exists()
    assert sum(len(image["objects"]) > 0 for image in results["alone"]["images"]) == 4
    for one, other in zip(results["alone"]["images"], results["batch"]["images"], strict=True):
        assert [o["score"] for o in one["objects"]] == pytest.approx([o["score"] for o in other["objects"]], abs=1e-5)
    assert results["flip"] != results["alone"]


def test_results_of_predict_replace_nothing_that_is_read(trained, tmp_path, capsys):
    run, _ = trained
    image = tmp_path / "a.png"
    Image.new("RGB", (50, 40)).save(image)
    before = image.read_bytes()
    command = ["detect", "predict", run, image, "--overwrite", "--quiet"]
    for path in (image, run / "config.json", run / "model.safetensors"):
        assert "which is an input: choose another name" in fails(capsys, *command, "--csv", path)
    assert image.read_bytes() == before


def test_results_never_replace_annotations_or_models(trained, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    source = str(make_coco(tmp_path / "data"))
    files = [*(path for path in tmp_path.rglob("*.json")), run / "model.safetensors"]
    before = {path: path.read_bytes() for path in files}
    assert len(files) > 2
    for path in files:
        told = fails(capsys, "detect", "evaluate", run, source, "--out", path, "--overwrite", "--quiet")
        assert "which is an input: choose another name" in told
    assert {path: path.read_bytes() for path in files} == before


def test_results_replace_no_file_of_a_data_set(trained, tmp_path, capsys):
    run, voc = trained[0], make_voc(tmp_path / "VOC")
    coco = make_coco(tmp_path / "data", count=2)
    lists = voc / "ImageSets" / "Main"
    for source, read in (
        (coco, [coco, *(coco.parent / "images").iterdir()]),
        (f"{voc}:test", [lists / "test.txt", voc / "Annotations" / "pic3.xml", voc / "JPEGImages" / "pic3.jpg"]),
    ):
        before = [path.read_bytes() for path in read]
        for i, path in enumerate(read):
            flag = ("--csv", "--json", "--out")[i % 3]
            told = fails(capsys, "detect", "evaluate", run, source, flag, path, "--overwrite", "--quiet")
            assert "which is an input: choose another name" in told
        assert [path.read_bytes() for path in read] == before


def test_evaluate_names_a_bad_image_without_the_traceback_of_a_worker(trained, tmp_path, capsys):
    coco = make_coco(tmp_path / "data", count=2)
    path = coco.parent / "images" / "1.png"
    path.write_bytes(path.read_bytes()[:200])
    command = ["detect", "evaluate", trained[0], coco, "--quiet", "--num-workers"]
    alone, apart = (fails(capsys, *command, workers) for workers in ("0", "1"))
    assert alone == apart and "1.png" in alone and "cut short" in alone and len(alone.splitlines()) == 1


def test_predict_draws_and_writes_coco(trained, tmp_path, capsys):
    run, voc = trained
    picture = voc / "JPEGImages" / "pic0.jpg"
    command = ["detect", "predict", str(run), str(picture), "--out", str(tmp_path / "out"), "--threshold", "0.01"]
    assert main(command) == 0
    assert f"in 1 image, in {tmp_path / 'out'}" in capsys.readouterr().out
    assert (tmp_path / "out" / "pic0.png").is_file()
    assert COCO(str(tmp_path / "out" / "predictions.json")).dataset["images"][0]["file_name"] == str(picture)
    assert "not overwritten" in fails(capsys, *command)
    assert "is neither a run folder nor" in fails(capsys, "detect", "predict", tmp_path, picture)


def test_predict_that_finds_nothing_names_a_lower_score(trained, tmp_path, capsys):
    run, voc = trained
    picture = voc / "JPEGImages" / "pic0.jpg"
    command = ["detect", "predict", str(run), str(picture), "--json", str(tmp_path / "found.json"), "--score"]
    assert main([*command, "1"]) == 0
    assert "no object has a score of at least 1: try --score 0.1" in capsys.readouterr().err
    assert main([*command, "0", "--overwrite"]) == 0
    assert "try --score" not in capsys.readouterr().err


def test_predict_takes_folders_and_names_what_it_cannot_read(trained, tmp_path, capsys):
    run, _ = trained
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (50, 40)).save(folder / "good.png")
    (folder / "bad.png").write_text("text")
    assert main(["detect", "predict", str(run), str(folder), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    assert "bad.png: not an image" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.png", "predictions.json"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on(tmp_path, capsys, monkeypatch, number, status):
    coco, run = str(make_coco(tmp_path / "data")), tmp_path / "run"
    step = DetectorModule.training_step

    def interrupt(*args):
        os.kill(os.getpid(), number)
        return step(*args)

    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "training_step", interrupt)
        assert main(["detect", "train", "--train", coco, "--val", coco, "--out", str(run), *QUICK]) == status
    assert f"vig-pyg detect train --resume {run}" in capsys.readouterr().err
    assert main(["detect", "train", "--resume", str(run), "--num-workers", "0", "--quiet"]) == 0
    assert (run / "model.safetensors").is_file()
    assert "complete" not in capsys.readouterr().out
    assert main(["detect", "train", "--resume", str(run), "--quiet"]) == 0
    assert capsys.readouterr() == (
        "The run is complete (1 epoch), so nothing is trained. To train longer, from the beginning, start a new run: "
        f"vig-pyg detect train --config {run / 'config.yaml'} --epochs MORE --out NEW\n",
        "",
    )
    assert "leave out --lr" in fails(capsys, "detect", "train", "--resume", run, "--lr", "0.1")


def test_mistakes_are_one_clear_line(tmp_path, capsys):
    coco, out = make_coco(tmp_path / "data"), tmp_path / "run"
    train = ["detect", "train", "--train", coco, "--val", coco, "--out", out, *QUICK]
    assert "--val is missing" in fails(capsys, "detect", "train", "--train", coco)
    assert "--detector must be one of retinanet, fasterrcnn, maskrcnn, got 'yolo'" in fails(
        capsys, *train, "--detector", "yolo"
    )
    assert "--model must be one of micro, tiny" in fails(capsys, *train, "--model", "huge")
    assert "--options must be" in fails(capsys, *train, "--options", "k")
    assert "leave out num_classes" in fails(capsys, *train, "--options.num_classes", "3")
    assert "unknown entry 'kk' (did you mean" not in fails(capsys, *train, "--options.kk", "3")
    assert "unknown entry 'out_channel' (did you mean 'out_channels'?)" in fails(
        capsys, *train, "--options.out_channel", "3"
    )
    assert "k must be a whole number from 1 to 4096" in fails(capsys, *train, "--k", "x")
    assert "no COCO file" in fails(capsys, *train, "--val", tmp_path / "none.json")
    assert "--schedule must be one of cosine, poly, step, got 'linear'" in fails(capsys, *train, "--schedule", "linear")
    (tmp_path / "data" / "images" / "2.png").write_bytes(b"no image")
    told = fails(capsys, *train)
    assert "2.png cannot be read" in told and "; replace them, or remove their annotations:" in told
    for wrong in ("wide", "1", "[2, 1]", "[0, 1]", "[1, 2, 3]"):
        assert "scale" in fails(capsys, *train, "--augmentation.scale", wrong)
    assert "Unknown flag '--epoch' (did you mean '--epochs'?)" in fails(capsys, *train, "--epoch", "3")
    for flag, meant in (("--image-size", "--min-size"), ("--steps", "--epochs")):
        assert f"Unknown flag '{flag}' (did you mean '{meant}'?)" in fails(capsys, *train, flag, "160")


def test_ctrl_c_says_what_is_there(trained, tmp_path, capsys, monkeypatch):
    run, voc = trained
    command = ["detect", "predict", str(run), str(voc / "JPEGImages"), "--out", str(tmp_path / "out"), "--quiet"]
    calls = []

    def interrupt(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_file(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(
            door, "detect_batch", lambda *_, **__: interrupt() if len(calls) == 2 else calls.append(1) or [{}]
        )
        patch.setattr(door, "to_results", lambda *_: [])
        assert main(command) == 130
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    calls.clear()
    with monkeypatch.context() as patch:
        patch.setattr(door, "write_file", interrupt)
        assert main(command) == 130
    err = capsys.readouterr().err
    assert f"stopped; {tmp_path / 'out'} has predictions.json, which is complete, and 1 of 4 drawings" in err
    assert "nothing was written" not in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["pic0.png", "predictions.json"]


def test_ctrl_c_before_a_run_begins(tmp_path, capsys, monkeypatch):
    coco, run = str(make_coco(tmp_path / "data")), tmp_path / "new" / "run"

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.detection.loading.load_data", interrupt)
    assert main(["detect", "train", "--train", coco, "--val", coco, "--out", str(run), *QUICK]) == 130
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_an_error_in_the_first_step_leaves_nothing(tmp_path, capsys):
    coco = make_coco(tmp_path / "data", count=2)
    (tmp_path / "data" / "images" / "1.png").write_bytes((tmp_path / "data" / "images" / "1.png").read_bytes()[:200])
    command = [
        "detect",
        "train",
        "--train",
        coco,
        "--val",
        coco,
        "--out",
        tmp_path / "run",
        *QUICK,
        "--num-workers",
        "2",
    ]
    assert main([str(word) for word in command]) == 2
    told = capsys.readouterr().err
    assert "vig-pyg: note: an epoch has only 1 training step" in told
    assert "1.png cannot be read: damaged or cut short" in told and "Traceback" not in told
    assert not (tmp_path / "run").exists()


def test_the_device_is_named_and_checked(trained, tmp_path, capsys, monkeypatch):
    run, voc = trained
    picture, asked = voc / "JPEGImages" / "pic0.jpg", []
    predict = ["detect", "predict", run, picture, "--out", tmp_path / "out", "--quiet"]
    evaluate = ["detect", "evaluate", run, f"{voc}:test", "--num-workers", "0", "--quiet"]
    for command in (predict, evaluate):
        assert "no device 'tpu'" in fails(capsys, *command, "--device", "tpu")
    assert not (tmp_path / "out").exists()

    def find_device(device):
        asked.append(str(device))
        return torch.device("cpu")

    monkeypatch.setattr("vig_pyg.detection.predict.find_device", find_device)
    monkeypatch.setattr("vig_pyg.detection.evaluate.find_device", find_device)
    for name in (None, "cpu"):
        options = [] if name is None else ["--device", name]
        for command in (predict, evaluate):
            if command is predict:
                command = [*predict[:5], tmp_path / f"out-{name}", "--quiet"]
            assert main([str(part) for part in [*command, *options]]) == 0
    assert set(asked) == {"cuda" if torch.cuda.is_available() else "cpu", "cpu"}


def test_names_of_strangers_are_text(trained, tmp_path, capsys):
    run, _ = trained
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["class_names"] = ["\x1b[2Jblue", "red\u202e"]
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    coco = make_coco(tmp_path / "data", count=2)
    change(coco, lambda content: [c.update(name=config["class_names"][c["id"] == 7]) for c in content["categories"]])
    assert main(["detect", "evaluate", str(tmp_path / "run"), str(coco), "--num-workers", "0", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "AP50 \\x1b[2Jblue" in out
    assert out.replace("\n", "").isprintable()
