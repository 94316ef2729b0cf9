import csv
import json
import os
import re
import shutil

import pytest

from tests.classification.common import paint
from tests.cli.common import QUICK, fails
from tests.common import calibrated
from tests.images import BROKEN, ODD
from tests.weights.common import official_file
from vig_pyg import pvig_micro
from vig_pyg.classification.evaluation import ClassResult, Evaluation
from vig_pyg.classification.sources import SOURCES
from vig_pyg.cli import evaluate, main


def run(*argv):
    return main(["evaluate", *map(str, argv), "--device", "cpu"])


def by_hand(saved, pictures, tmp_path, *options):
    """Top-1 from what `predict` says."""
    main(["predict", str(saved), str(pictures), "--json", str(tmp_path / "p.json"), "--overwrite", *map(str, options)])
    found = json.loads((tmp_path / "p.json").read_text())["images"]
    right = [one["classes"][0]["name"] == one["path"].split("/")[-2] for one in found]
    return 100 * sum(right) / len(right)


@pytest.mark.parametrize("options", [[], ["--image-size", 48], ["--position", "grid", "--image-size", 40]])
def test_accuracy_agrees_with_predict(saved, pictures, tmp_path, capsys, options):
    want = by_hand(saved, pictures, tmp_path, *options)
    capsys.readouterr()
    files = ["--json", tmp_path / "e.json", "--csv", tmp_path / "e.csv"]
    assert run(saved, pictures, *files, *options) == 0
    out, err = capsys.readouterr()
    assert err == "" and f"\ntop-1 {want:.1f} %\n" in out and "top-5" not in out
    size = options[-1] if options else 32
    assert f"{saved} at {size} x {size} pixels on cpu: 8 images, all classes" in out
    assert re.search(r"[\d.]+ images/s with reading, [\d.]+ images/s in the model alone", out)

    content = json.loads((tmp_path / "e.json").read_text())
    assert (content["model"], content["data"], content["image_size"]) == (str(saved), str(pictures), size)
    assert (content["images"], content["top1"], content["top5"], content["broken"]) == (8, want, None, [])
    with open(tmp_path / "e.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "name", "images", "top1", "top5"]
    assert [(row["index"], row["name"], row["images"]) for row in rows] == [("0", "blue", "4"), ("1", "red", "4")]
    assert [row["top5"] for row in rows] == ["", ""] and {row["top5"] for row in content["per_class"]} == {None}
    assert [float(row["top1"]) for row in rows] == [row["top1"] for row in content["per_class"]]
    assert sum(row["top1"] for row in content["per_class"]) / 2 == pytest.approx(want)
    for row in content["per_class"]:
        assert re.search(rf"^{row['name']} +4 +{row['top1']:.1f} %$", out, flags=re.MULTILINE)


def test_a_trained_run_with_one_of_its_classes(trained, tmp_path, capsys):
    folder, pictures = trained
    (tmp_path / "red").symlink_to(pictures / "val" / "red")
    assert run(folder, tmp_path) == 0
    assert "4 images, 1 of 2 classes occur, but any may be predicted" in capsys.readouterr().out


def test_training_images_are_mentioned(trained, capsys):
    folder, pictures = trained
    assert run(folder, pictures / "train", "--quiet") == 0
    assert capsys.readouterr().err.startswith(f"vig-pyg: note: {folder} was trained on these images, so its scores on")
    assert run(folder, pictures / "val", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_wordnet_folders_of_some_of_imagenets_classes(tmp_path, capsys):
    (tmp_path / "weights.pth").write_bytes(official_file(calibrated(pvig_micro())))
    for name in ("n01440764", "n02102040", "n03888257"):
        paint(tmp_path / "val" / name / "a.png", "red")
    options = ["--weights", tmp_path / "weights.pth", "--csv", tmp_path / "out.csv", "--num-workers", 0]
    assert run("pvig_micro", tmp_path / "val", *options) == 0
    assert "3 of 1000 classes occur" in capsys.readouterr().out
    rows = [line.split(",")[:3] for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert rows == [["0", "tench", "1"], ["217", "English springer", "1"], ["701", "parachute", "1"]]


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_pictures_count_nowhere_and_are_listed(saved, odd, tmp_path, capsys, workers):
    assert run(saved, odd.parent, "--json", tmp_path / "out.json", "--num-workers", workers, "--batch-size", 7) == 1
    out, err = capsys.readouterr()
    assert f"{len(ODD)} images, 1 of 2 classes occur" in out
    assert f"{len(BROKEN)} of {len(BROKEN) + len(ODD)} images could not be read:" in err
    for name, reason in BROKEN.items():
        assert re.search(rf"{odd / name}: .*{reason}", err)
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["images"] == len(ODD)
    assert {one["path"] for one in content["broken"]} == {str(odd / name) for name in BROKEN}


def test_a_folder_as_people_have_it(saved, pictures, tmp_path, capsys):
    for name, source in ((os.fsdecode(b"caf\xe9.png"), "red"), ("._a.png", "red"), ("b.jpg", "red")):
        (tmp_path / "data" / source).mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / source / name).write_bytes((pictures / source / "0.png").read_bytes())
    (tmp_path / "data" / "red" / os.fsdecode(b"bad\xe9.png")).touch()
    (tmp_path / "data" / ".ipynb_checkpoints").mkdir()
    os.mkfifo(tmp_path / "data" / "red" / "pipe.png")
    files = ["--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--num-workers", 0]
    assert run(saved, tmp_path / "data", *files) == 1
    out, err = capsys.readouterr()
    assert "2 images, 1 of 2 classes occur" in out
    assert r"bad\udce9.png: the file is empty" in err
    content = json.loads((tmp_path / "a.json").read_text())
    assert (content["images"], [one["reason"] for one in content["broken"]]) == (2, ["the file is empty"])
    assert content["broken"][0]["path"] == str(tmp_path / "data" / "red" / os.fsdecode(b"bad\xe9.png"))
    (tmp_path / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert "is a symbolic link" in fails(
        capsys, "evaluate", saved, pictures, "--csv", tmp_path / "link.csv", "--overwrite"
    )


def test_ctrl_c_leaves_nothing_half_written(saved, pictures, tmp_path, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.classification.batches.read_image", stop)
    assert run(saved, pictures, "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--num-workers", 0) == 130
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in capsys.readouterr().err


def test_evaluate_names_what_is_wrong(saved, pictures, odd, tmp_path, capsys):
    (tmp_path / "mine").write_text("precious")
    (tmp_path / "broken" / "red").mkdir(parents=True)
    (tmp_path / "broken" / "red" / "a.png").touch()
    paint(tmp_path / "wordnet" / "n01440764" / "a.png", "red")
    wrong = {
        "does not exist": [saved, tmp_path / "nothing"],
        "is a file, expected a folder": [saved, pictures / "red" / "0.png"],
        "needs one folder of images for each class": [saved, pictures / "red"],
        "2 of 2 folders are not classes of the model: train, val. The classes of the model are blue, red": [
            saved,
            pictures.parent,
        ],
        "but the model has 2 classes instead of the 1000 classes of ImageNet": [saved, tmp_path / "wordnet"],
        "The only image could not be read": [saved, tmp_path / "broken"],
        "exists already": [saved, pictures, "--csv", tmp_path / "mine"],
        "--batch-size must be at least 1": [saved, pictures, "--batch-size", 0],
        "There is no folder nothing and no model with this name": ["nothing", pictures],
    }
    for message, argv in wrong.items():
        assert message in fails(capsys, "evaluate", *argv)
    assert (tmp_path / "mine").read_text() == "precious"


@pytest.mark.parametrize("classes", [1, 2, 5, 6, 1000])
def test_the_five_most_probable_are_shown_only_of_more_classes(classes, capsys):
    five = 75.0 if classes > 5 else None  # as `evaluate` gives it
    found = Evaluation(4, 25.0, five, [ClassResult(0, "red", 4, 25.0, five)], [], 9.0, 12.0)
    evaluate._print(found, classes, "mine")
    out = capsys.readouterr().out
    shown = (out.count("top-1"), out.count("25.0 %"), out.count("top-5"), out.count("75.0 %"))
    assert shown == ((2, 2, 2, 2) if classes > 5 else (2, 2, 0, 0))


def test_every_name_of_training_data_can_be_evaluated(trained, tmp_path, capsys, monkeypatch):
    """The table and the user's own source give the accuracy of the same folder, and digits give that of the run."""
    folder, pictures = trained
    with open(tmp_path / "table.csv", "w", newline="") as file:
        rows = [(path, path.parent.name, path.parts[-3]) for path in sorted(pictures.rglob("*.png"))]
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    (tmp_path / "own_stripes.py").write_text(
        "from vig_pyg.classification import FolderData\n"
        f"def Stripes(image_size, in_channels):\n    return FolderData({str(pictures)!r}, image_size=image_size)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(SOURCES, "_registered", dict(SOURCES._registered))
    found = []
    for data in (pictures / "val", "table.csv", "own_stripes:Stripes"):
        assert run(folder, data, "--json", "e.json", "--overwrite", "--num-workers", 0, "--quiet") == 0
        assert capsys.readouterr().err == ""
        content = json.loads((tmp_path / "e.json").read_text())
        found.append([content[key] for key in ("images", "top1", "per_class")])
    assert found[0] == found[1] == found[2]


def test_digits_are_evaluated_like_in_training(tmp_path, capsys, monkeypatch):
    network = ["--model", "vig_micro", "--patch-size", "8", "--options.channels", "16", "--options.depth", "1"]
    options = [*QUICK[:2], *QUICK[6:], "--image-size", "16", "--batch-size", "256", *network]
    assert main(["train", "--out", str(tmp_path / "run"), *options]) == 0
    assert run(tmp_path / "run", "digits", "--json", tmp_path / "e.json", "--num-workers", 0) == 0
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        want = float(list(csv.DictReader(file))[-1]["val_accuracy"])
    content = json.loads((tmp_path / "e.json").read_text())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()  # the name means the same as for training
    capsys.readouterr()
    assert run("run", "digits", "--num-workers", 0, "--quiet") == 0
    note = "vig-pyg: note: digits is the built-in data; the folder digits here is ./digits\n"
    assert capsys.readouterr().err == note
    assert "needs one folder of images" in fails(capsys, "evaluate", "run", "./digits")
    assert (content["images"], content["data"]) == (450, "digits") and content["top1"] == pytest.approx(100 * want)
    assert capsys.readouterr().err == ""
    assert run(tmp_path / "run", "digits", "--split", "train", "--num-workers", 0, "--quiet") == 0
    assert "was trained on these images" in capsys.readouterr().err
    assert "has no part 'test'" in fails(capsys, "evaluate", tmp_path / "run", "digits", "--split", "test")
    for key in ("--input-key", "--target-key"):
        assert f"{key} applies only to data with the prefix" in fails(
            capsys, "evaluate", tmp_path / "run", "digits", key, "x"
        )
    assert fails(capsys, "evaluate", tmp_path / "run", "digist").endswith(" Did you mean digits?\n")


def test_a_table_that_the_model_has_not_seen_is_evaluated_whole(trained, tmp_path, capsys):
    """Of the table of the training, only the images that were held out are evaluated."""
    folder, pictures = trained
    own = tmp_path / "run"
    shutil.copytree(folder, own)
    images = sorted(pictures.rglob("*.png"))
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *(f"{one},{one.parent.name}" for one in images)]))
    (tmp_path / "test.csv").write_text(
        "\n".join(["path,label,split", *(f"{one},{one.parent.name},test" for one in images[:3])])
    )

    def count(*words):
        assert run(own, *words, "--json", tmp_path / "e.json", "--overwrite", "--num-workers", 0, "--quiet") == 0
        return json.loads((tmp_path / "e.json").read_text())["images"]

    trained_images = len(list((pictures / "train").rglob("*.png")))
    assert count(tmp_path / "all.csv") == len(images)
    err = capsys.readouterr().err
    assert f"{own} was trained on {trained_images} of these {len(images)} images" in err and "held out" not in err
    assert count(tmp_path / "test.csv") == count(tmp_path / "test.csv", "--split", "test") == 3
    told = fails(capsys, "evaluate", own, tmp_path / "test.csv", "--split", "val")
    assert "has no part 'val'; it has 'test'." in told
    values = (own / "config.yaml").read_text()
    (own / "config.yaml").write_text(re.sub("(?m)^data: .*", f"data: {tmp_path / 'all.csv'}", values))
    assert 0 < count(tmp_path / "all.csv") < len(images)
    note = f"vig-pyg: note: {own} was trained on {tmp_path / 'all.csv'}, which has no column split: only the fifth that"
    assert f"{note} was held out is evaluated\n" in capsys.readouterr().err
    count(tmp_path / "all.csv", "--split", "train")
    assert "was trained on these images" in capsys.readouterr().err
