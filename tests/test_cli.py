import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.pictures import make_folder
from vig_pyg.cli import main

QUICK = ["--epochs", "1", "--batch-size", "4", "--image-size", "32", "--workers", "0", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on a folder of pictures, and the folder."""
    root = tmp_path_factory.mktemp("cli")
    pictures = make_folder(root / "pictures")
    assert main(["train", "--data", str(pictures), "--out", str(root / "run"), *QUICK]) == 0
    return root / "run", pictures


def fails(capsys, *argv):
    """The one line that a command prints for a mistake of the user."""
    status = main([str(arg) for arg in argv])
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith("vig-pyg: ")
    assert err.count("\n") == 1
    return err


def test_predict_prints_classes_with_probabilities(trained, capsys):
    run, pictures = trained
    images = [pictures / "val" / name / "0.png" for name in ("blue", "red")]
    assert main(["predict", str(run), *map(str, images)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, image in zip(lines, images, strict=True):
        assert line.startswith(str(image))
        shares = [float(word) for word in line.split() if word.replace(".", "").isdigit()]
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert shares == sorted(shares, reverse=True)


def test_graph_draws_and_does_not_overwrite(trained, capsys, tmp_path):
    run, pictures = trained
    image, out = pictures / "val" / "red" / "0.png", tmp_path / "graph.png"
    assert main(["graph", str(run), str(image), "--out", str(out), "--patch", "0.1,0.9"]) == 0
    first = out.read_bytes()
    assert "not overwritten" in fails(capsys, "graph", run, image, "--out", out)
    assert out.read_bytes() == first
    assert "place" in fails(capsys, "graph", run, image, "--out", tmp_path / "b.png", "--patch", "1.5,0")


def test_graph_writes_a_page_and_does_not_overwrite(trained, capsys, tmp_path):
    run, pictures = trained
    image, out = pictures / "val" / "red" / "0.png", tmp_path / "graph.HTML"
    assert main(["graph", str(run), str(image), "--out", str(out), "--patch", "0.1,0.9"]) == 0
    first = out.read_text()
    assert first.startswith("<!DOCTYPE html>")
    assert "<h1>0.png</h1>" in first
    assert '"patch":[0.1,0.9]' in first
    assert "not overwritten" in fails(capsys, "graph", run, image, "--out", out)
    assert out.read_text() == first
    assert "place" in fails(capsys, "graph", run, image, "--out", tmp_path / "b.html", "--patch", "1.5,0")
    assert "make it first" in fails(capsys, "graph", run, image, "--out", tmp_path / "nowhere" / "b.html")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.HTML"]


def test_models_prints_the_measured_table(capsys):
    assert main(["models"]) == 0
    rows = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()}
    assert rows["pvig_small"] == ["27.252", "4.548"]
    assert rows["vig_tiny"] == ["7.185", "1.301"]
    assert len(rows) == 10


def test_a_second_run_takes_the_next_name(tmp_path, monkeypatch, capsys):
    pictures = make_folder(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "--data", str(pictures), *QUICK]) == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["pictures", "pictures-2"]
    assert "runs/pictures-2/model.safetensors" in capsys.readouterr().out


def test_mistakes_are_one_clear_line_and_leave_nothing(tmp_path, capsys):
    pictures, out = make_folder(tmp_path / "pictures"), tmp_path / "run"
    train = ["train", "--out", out, *QUICK, "--data"]
    assert "does not exist" in fails(capsys, *train, tmp_path / "nowhere")
    assert "it does not exist" in fails(capsys, *train, pictures / "train")
    assert "Unknown conv 'gcn': choose one of mr" in fails(capsys, *train, pictures, "--conv", "gcn")
    assert "Unknown model 'vig_huge'" in fails(capsys, *train, pictures, "--model", "vig_huge")
    assert "k must be at least 1" in fails(capsys, *train, pictures, "--k", "0")
    assert "power of two" in fails(capsys, *train, pictures, "--patch-size", "3")
    (pictures / "val" / "red" / "1.png").write_bytes(b"")
    assert "red/1.png" in fails(capsys, *train, pictures)
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["pictures"]
    assert main([str(a) for a in [*train, pictures, "--on-broken", "skip"]]) == 0
    capsys.readouterr()
    before = (out / "model.safetensors").read_bytes()
    assert "not overwritten" in fails(capsys, *train, pictures, "--on-broken", "skip")
    assert (out / "model.safetensors").read_bytes() == before


def test_ctrl_c_is_said_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.train.classifier.Classifier.training_step", interrupt)
    pictures = make_folder(tmp_path / "pictures")
    assert main(["train", "--data", str(pictures), "--out", str(tmp_path / "run"), *QUICK]) == 130
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["pictures"]


def test_predict_names_what_is_wrong(trained, tmp_path, capsys):
    run, pictures = trained
    image = pictures / "val" / "red" / "0.png"
    assert "is not a run folder" in fails(capsys, "predict", tmp_path, image)
    assert "There is no picture at" in fails(capsys, "predict", run, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("text")
    assert "text.png cannot be read as a picture" in fails(capsys, "predict", run, tmp_path / "text.png")
    assert "--topk" in fails(capsys, "predict", run, image, "--topk", "0")
    with pytest.raises(FileNotFoundError):
        main(["--debug", "predict", str(tmp_path), str(image)])


def test_grey_and_transparent_pictures_are_converted(trained, tmp_path):
    run, _ = trained
    paths = []
    for mode in ("L", "RGBA", "P"):
        paths.append(tmp_path / f"{mode}.png")
        Image.fromarray(np.full((50, 40), 99, dtype=np.uint8)).convert(mode).save(paths[-1])
    assert main(["predict", str(run), *map(str, paths)]) == 0


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_is_printed(argv):
    code = f"import sys\nsys.argv = ['vig-pyg', *{argv!r}]\n"
    code += "try:\n    from vig_pyg.cli import main; main()\nexcept SystemExit as e: assert e.code == 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.slow
def test_the_default_run_reaches_the_promised_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--quiet"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Held-out accuracy"))
    assert float(line.split()[2]) >= 97.5
