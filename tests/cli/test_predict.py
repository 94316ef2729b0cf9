import csv
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch

from tests.cli.common import fails
from tests.common import calibrated
from tests.images import BROKEN, ODD
from tests.weights.common import closed_address, make_entry, official_file
from vig_pyg import pvig_micro, vig_micro, weights
from vig_pyg.classification import batches as reading
from vig_pyg.cli import main


def run(*argv):
    return main(["predict", *map(str, argv), "--device", "cpu"])


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_predict_prints_classes_with_probabilities(trained, capsys):
    folder, pictures = trained
    images = [pictures / "val" / name / "0.png" for name in ("blue", "red")]
    assert run(folder, *images) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, image in zip(lines, images, strict=True):
        assert line.startswith(str(image))
        shares = [float(word) for word in line.split() if word.replace(".", "").isdigit()]
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert shares == sorted(shares, reverse=True)


def test_files_folders_and_patterns(saved, pictures, capsys):
    assert run(saved, pictures, f"{pictures}/red/[01].png", pictures / "blue" / "0.png", "--num-workers", 0) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(path) for path in sorted(pictures.rglob("*.png"))]
    assert run(saved, f"{pictures}/**/3.png", "--topk", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.count("%") == 1 for line in lines)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_folder_of_odd_and_broken_pictures(saved, odd, tmp_path, capsys, workers):
    options = ["--json", tmp_path / "out.json", "--csv", tmp_path / "out.csv", "--num-workers", workers]
    assert run(saved, odd, "--batch-size", 7, *options) == 1
    out, err = capsys.readouterr()
    assert {line.split()[0] for line in out.splitlines()} == {str(odd / name) for name in ODD}
    assert f"{len(BROKEN)} of {len(BROKEN) + len(ODD)} images could not be read:" in err
    for name, reason in BROKEN.items():
        assert re.search(rf"{odd / name}: .*{reason}", err)

    content = json.loads((tmp_path / "out.json").read_text())
    assert content["model"] == str(saved)
    assert {one["path"] for one in content["images"]} == {str(odd / name) for name in ODD}
    assert {one["path"] for one in content["unreadable"]} == {str(odd / name) for name in BROKEN}
    for one in content["images"]:
        assert {c["name"]: c["index"] for c in one["classes"]} == {"blue": 0, "red": 1}
        assert sum(c["probability"] for c in one["classes"]) == pytest.approx(1)

    rows = read_csv(tmp_path / "out.csv")
    assert list(rows[0]) == ["path", "rank", "index", "name", "probability", "error"]
    assert len(rows) == 2 * len(ODD) + len(BROKEN)
    first = {row["path"]: row["name"] for row in rows if row["rank"] == "1"}
    assert first == {one["path"]: one["classes"][0]["name"] for one in content["images"]}
    for row in rows:
        assert (row["error"] == "") == (row["name"] != "")


def test_nothing_readable_still_says_why(saved, odd, capsys):
    assert run(saved, odd / "zero.jpg", odd / "text.jpg") == 1
    out, err = capsys.readouterr()
    assert out == "" and "2 of 2 images could not be read" in err


def test_names_that_are_no_unicode(saved, pictures, tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes((pictures / "red" / "0.png").read_bytes())
    argv = ["predict", str(saved), str(tmp_path), "--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv")]
    code = f"import sys; from vig_pyg.cli import main; sys.exit(main({argv!r}))"
    env = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert r"caf\udce9.png   " in done.stdout
    assert json.loads((tmp_path / "a.json").read_text())["images"][0]["path"] == str(tmp_path / name)
    assert r"caf\udce9.png,1," in (tmp_path / "a.csv").read_text()


def test_a_reader_that_has_enough_is_no_error(saved, pictures, tmp_path):
    argv = ["predict", str(saved), str(pictures), "--json", str(tmp_path / "a.json"), "--num-workers", "0"]
    code = f"import sys; from vig_pyg.cli import main; sys.exit(main({argv!r}))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)
    assert json.loads((tmp_path / "a.json").read_text())["images"]


def test_files_are_not_overwritten_unless_told(saved, pictures, tmp_path, capsys):
    picture, mine = pictures / "red" / "0.png", tmp_path / "mine"
    mine.write_text("precious")
    for option in ("--json", "--csv"):
        assert "mine exists already and is not overwritten" in fails(capsys, "predict", saved, picture, option, mine)
        assert "is a folder" in fails(capsys, "predict", saved, picture, option, tmp_path, "--overwrite")
        assert "mine is a file, not a folder" in fails(capsys, "predict", saved, picture, option, mine / "out")
    assert mine.read_text() == "precious"
    both = ["--json", mine, "--csv", mine, "--overwrite"]
    assert "--json and --csv are both" in fails(capsys, "predict", saved, picture, *both)
    assert run(saved, picture, "--json", mine, "--overwrite") == 0
    assert json.loads(mine.read_text())["images"]


@pytest.mark.parametrize("command", ["predict", "evaluate", "graph"])
def test_results_never_replace_images_or_models(saved, pictures, tmp_path, capsys, command):
    model, images = tmp_path / "model", tmp_path / "images"
    shutil.copytree(saved, model)
    shutil.copytree(pictures, images)
    photo = images / "red" / "0.png"
    os.link(photo, tmp_path / "same.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    source = images if command == "evaluate" else photo
    options = ["--out"] if command == "graph" else ["--json", "--csv"]
    names = [photo, tmp_path / "same.png"]
    names += [model / name for name in ("config.json", "model.safetensors") if command != "graph"]
    for option, name in itertools.product(options, names):
        assert "which is an input: choose another name" in fails(
            capsys, command, model, source, option, name, "--overwrite"
        )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_pipes_and_devices_are_not_opened_and_links_not_written_through(saved, pictures, tmp_path, capsys):
    picture = pictures / "red" / "0.png"
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to("nothing")
    names = ["pipe.png", "zero.png", "gone.png"]
    options = ["--num-workers", 0, "--json", tmp_path / "a.json"]
    assert run(saved, picture, *(tmp_path / name for name in names), *options) == 1
    err = capsys.readouterr().err
    assert "3 of 4 images could not be read" in err and "gone.png: there is no such image\n" in err
    assert err.count("it is a pipe, a socket or a device, not a file") == 2
    assert [
        one["path"].rsplit("/", 1)[1] for one in json.loads((tmp_path / "a.json").read_text())["unreadable"]
    ] == names
    (tmp_path / "link.json").symlink_to(tmp_path / "elsewhere.json")
    for name, reason in (("link.json", "is a symbolic link"), ("pipe.png", "is a pipe"), ("zero.png", "symbolic link")):
        for option in ("--json", "--csv"):
            assert reason in fails(capsys, "predict", saved, picture, option, tmp_path / name, "--overwrite")
    assert not (tmp_path / "elsewhere.json").exists()


@pytest.mark.parametrize("part", ["reading", "computing"])
def test_ctrl_c_leaves_nothing_half_written(saved, pictures, tmp_path, capsys, monkeypatch, part):
    calls = []

    def stop(*_):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(*_)

    if part == "reading":
        original = reading.read_image
        monkeypatch.setattr("vig_pyg.classification.batches.read_image", stop)
    else:
        original = torch.Tensor.softmax
        monkeypatch.setattr(torch.Tensor, "softmax", stop)
    options = ["--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv", "--batch-size", 1, "--num-workers", 0]
    assert run(saved, pictures, *options) == 130
    assert len(calls) == 3 and not list(tmp_path.iterdir())
    assert capsys.readouterr().err.endswith("vig-pyg: stopped; nothing was written\n")


def test_published_weights_without_network_then_by_hand(pictures, tmp_path, capsys, monkeypatch):
    content = official_file(calibrated(pvig_micro()))
    entry = make_entry(f"{closed_address()}/pvig_mi_1.0.pth.tar", content, model="pvig_micro")
    monkeypatch.setitem(weights.TABLE, entry.name, entry)
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path))
    argv = ["predict", "pvig_micro", str(pictures / "red"), "--num-workers", "0"]
    message = fails(capsys, *argv)
    assert entry.url in message and entry.sha256 in message
    place = tmp_path / "checkpoints" / "pvig_mi_1.0.pth.tar"
    assert f"put it at {place}: then it works offline" in message
    assert "(Connection refused)" in message and "urlopen" not in message and "Errno" not in message

    def no_network(*_):
        raise AssertionError("asked for the network")

    place.write_bytes(content)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    assert main(argv) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_weights_in_a_file_size_and_position(pictures, tmp_path, capsys):
    path = tmp_path / "weights.pth"
    path.write_bytes(official_file(calibrated(pvig_micro(num_classes=5))))
    argv = ["pvig_micro", pictures / "red" / "0.png", "--weights", path, "--topk", 5]
    shown = []
    for options in ([], ["--image-size", "48"], ["--image-size", "48", "--position", "grid"]):
        assert run(*argv, *options) == 0
        shown.append(capsys.readouterr().out)
    assert len(set(shown)) == 3


def test_predict_names_what_is_wrong(saved, pictures, tmp_path, capsys):
    image = pictures / "red" / "0.png"
    wrong = {
        "is neither a run folder nor": [tmp_path, image],
        "There is no folder pvig_smal and no model": ["pvig_smal", image],
        "no published weights 'vig_micro'": ["vig_micro", image],
        "There is no image at": [saved, tmp_path / "none.png"],
        "The folder": [saved, tmp_path],
        "--topk must be at least 1, got 0": [saved, image, "--topk", 0],
        "--batch-size must be at least 1": [saved, image, "--batch-size", 0],
        "--num-workers at least 0": [saved, image, "--num-workers", -1],
        "--image-size must be at least 1": [saved, image, "--image-size", 0],
        "at least 2 x 2 pixels": [saved, image, "--image-size", 1],
        "There is no device 'gpu' here: the only one is cpu": [saved, image, "--device", "gpu"],
        "There is no device 'meta' here": [saved, image, "--device", "meta"],
        "There is no weight file at": ["vig_micro", image, "--weights", tmp_path / "none.pth"],
        "is a folder, expected a weight file": ["vig_micro", image, "--weights", tmp_path],
        "has its own weights": [saved, image, "--weights", image],
    }
    for message, argv in wrong.items():
        assert message in fails(capsys, "predict", *argv)
    with pytest.raises(FileNotFoundError):
        main(["--debug", "predict", str(tmp_path), str(image)])


def test_weights_of_another_model_are_named(pictures, tmp_path, capsys):
    path = tmp_path / "weights.pth"
    path.write_bytes(official_file(vig_micro(num_classes=5)))
    message = fails(capsys, "predict", "pvig_micro", pictures, "--weights", path)
    assert "(they look like vig_micro)" in message
