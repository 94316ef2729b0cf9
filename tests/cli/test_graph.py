import os
import re

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.common import fails
from tests.common import calibrated
from tests.images import make_various
from tests.weights.common import official_file
from vig_pyg import VisionGNN, pvig_micro, vig_micro
from vig_pyg.artifact import write_config, write_weights
from vig_pyg.classification import load_classifier
from vig_pyg.cli import main
from vig_pyg.detection import retinanet_pvig
from vig_pyg.image_io import read_image
from vig_pyg.segmentation import SegmentationPreprocessing, semantic_fpn_pvig


def test_graph_draws_and_does_not_overwrite(trained, capsys, tmp_path):
    run, pictures = trained
    image, out = pictures / "val" / "red" / "0.png", tmp_path / "graph.png"
    assert main(["graph", str(run), str(image), "--out", str(out), "--patch", "0.1,0.9"]) == 0
    first = out.read_bytes()
    assert "not overwritten" in fails(capsys, "graph", run, image, "--out", out)
    assert out.read_bytes() == first
    assert main(["graph", str(run), str(image), "--out", str(out), "--overwrite"]) == 0
    assert out.read_bytes() != first
    assert "patch must be" in fails(capsys, "graph", run, image, "--out", tmp_path / "b.png", "--patch", "1.5,0")


def test_graph_writes_a_page_and_does_not_overwrite(trained, capsys, tmp_path):
    run, pictures = trained
    image, out = pictures / "val" / "red" / "0.png", tmp_path / "graph.HTML"
    assert main(["graph", str(run), str(image), "--out", str(out), "--patch", "0.1,0.9"]) == 0
    first = out.read_text()
    assert first.startswith("<!DOCTYPE html>")
    assert "<h1>0.png</h1>" in first
    assert len(re.findall(r"<li>(?:blue|red): [\d.]+%</li>", first)) == 2 and first.count("data:image/png") == 1
    assert '"patch":[0.1,0.9]' in first
    assert "not overwritten" in fails(capsys, "graph", run, image, "--out", out)
    assert out.read_text() == first
    assert main(["graph", str(run), str(image), "--out", str(out), "--overwrite"]) == 0
    assert '"patch":[0.5,0.5]' in out.read_text()
    assert "patch must be" in fails(capsys, "graph", run, image, "--out", tmp_path / "b.html", "--patch", "1.5,0")
    assert "create it first" in fails(capsys, "graph", run, image, "--out", tmp_path / "nowhere" / "b.html")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.HTML"]


def test_graph_computes_where_it_is_told(saved, pictures, tmp_path, capsys, monkeypatch):
    image, moved = pictures / "red" / "0.png", []
    to = VisionGNN.to
    monkeypatch.setattr(VisionGNN, "to", lambda self, where: moved.append(str(where)) or to(self, "cpu"))
    for device in ("tpu", "meta"):
        told = fails(capsys, "graph", saved, image, "--out", tmp_path / "a.html", "--device", device)
        assert f"There is no device '{device}' here: the only one is cpu" in told
    assert not moved and not list(tmp_path.iterdir())
    assert main(["graph", str(saved), str(image), "--out", str(tmp_path / "a.html"), "--device", "cpu"]) == 0
    assert moved[-1] == "cpu"


def test_graph_takes_every_model_that_predict_takes(saved, pictures, tmp_path):
    image = pictures / "red" / "0.png"
    weights = tmp_path / "weights.pth"
    weights.write_bytes(official_file(calibrated(pvig_micro(num_classes=5))))
    for i, argv in enumerate([[saved], [saved, "--image-size", 48], ["pvig_micro", "--weights", weights]]):
        out = tmp_path / f"{i}.svg"
        assert main(["graph", *map(str, argv), str(image), "--out", str(out)]) == 0
        assert b"<svg" in out.read_bytes()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_graph_sees_what_predict_sees(tmp_path, monkeypatch, channels):
    model = calibrated(vig_micro(num_classes=2, in_channels=channels, image_size=32))
    model.save_pretrained(tmp_path / "model")
    seen = []
    graphs = VisionGNN.graphs
    monkeypatch.setattr(VisionGNN, "graphs", lambda self, images: seen.append(images) or graphs(self, images))
    preprocessing = load_classifier(tmp_path / "model").preprocessing
    files = [path for path in make_various(tmp_path / "images") if path.name in ("turned_6.jpg", "palette_opacity.png")]
    for path in files:
        out = path.with_suffix(".html")
        assert main(["graph", str(tmp_path / "model"), str(path), "--out", str(out)]) == 0
        assert torch.equal(seen.pop()[0], preprocessing(read_image(path)))
    assert len(files) == 2


def test_graph_checks_its_output_before_the_work_and_leaves_nothing(saved, pictures, tmp_path, capsys, monkeypatch):
    image, out = pictures / "red" / "0.png", tmp_path / "out"
    out.mkdir()
    (out / "link.png").symlink_to(tmp_path / "elsewhere.png")
    os.mkfifo(out / "pipe.png")
    (tmp_path / "file").write_text("precious")
    with monkeypatch.context() as context:
        context.setattr("vig_pyg.classification.load_classifier", None)
        for message, name in {
            "is a symbolic link": "link.png",
            "is a pipe": "pipe.png",
            "is a folder": ".",
            "cannot be drawn: use one of the extensions .html, ": "a.exe",
            "create it first": "nowhere/a.png",
            "file is a file, not a folder": "../file/a.png",
        }.items():
            assert message in fails(capsys, "graph", saved, image, "--out", out / name)
    (tmp_path / "bad.png").write_text("no image")
    np.save(tmp_path / "bad.npy", np.zeros((8, 8)))
    assert "bad.png cannot be read as an image: not an image" in fails(
        capsys, "graph", saved, tmp_path / "bad.png", "--out", out / "a.png"
    )
    assert fails(capsys, "graph", saved, tmp_path / "bad.npy", "--out", out / "a.png").endswith(
        "Expected an array (height, width, 3), got (8, 8).\n"
    )
    assert "There is no image at" in fails(capsys, "graph", saved, tmp_path / "none.png", "--out", out / "a.png")

    def stop(*_, **__):
        raise KeyboardInterrupt

    for name in ("draw_graph", "save_html"):
        monkeypatch.setattr(f"vig_pyg.explain.{name}", stop)
        end = ".png" if name == "draw_graph" else ".html"
        assert main(["graph", str(saved), str(image), "--out", str(out / f"a{end}")]) == 130
    assert sorted(path.name for path in out.iterdir()) == ["link.png", "pipe.png"]
    assert not (tmp_path / "elsewhere.png").exists()


def test_an_image_whose_name_is_no_unicode(saved, tmp_path, capsys):
    path = os.fsencode(tmp_path) + b"/caf\xe9.png"
    Image.new("RGB", (8, 8)).save(os.fsdecode(path))
    assert main(["graph", str(saved), os.fsdecode(path), "--out", str(tmp_path / "a.html")]) == 0
    assert rb"caf\udce9.png" in (tmp_path / "a.html").read_bytes()


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_graph_draws_the_networks_of_all_tasks(tmp_path, capsys, task):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    model, folder = tmp_path / "model", tmp_path / "a.html"
    model.mkdir()
    if task == "detection":
        network = retinanet_pvig("micro", num_classes=1, min_size=32, max_size=64, out_channels=16)
        write_config(model, network, class_names=["box"], category_ids=[1])
    else:
        network = semantic_fpn_pvig("micro", num_classes=1, out_channels=16)
        write_config(model, network, class_names=["sky"], preprocessing=SegmentationPreprocessing(image_size=32))
    write_weights(model, network.state_dict())
    assert main(["graph", str(model), str(tmp_path / "a.png"), "--out", str(folder)]) == 0
    page = folder.read_text()
    assert "<h1>a.png</h1>" in page and page.count("data:image/png") == 2 and 'id="show-output"' in page
    assert ("no object above a score of 0.5" if task == "detection" else "sky: 100.0%") in page
    assert main(["graph", str(model), str(tmp_path / "a.png"), "--out", str(tmp_path / "a.pdf")]) == 0
    for option in (["--image-size", "64"], ["--position", "grid"], ["--weights", "a.pth"]):
        told = fails(capsys, "graph", model, tmp_path / "a.png", "--out", tmp_path / "b.html", *option)
        assert f"{option[0]} is an option for classifiers" in told
    assert not (tmp_path / "b.html").exists()


def notes(capsys):
    return [line.removeprefix("vig-pyg: note: ") for line in capsys.readouterr().err.splitlines()]


def test_without_out_the_file_and_the_page_are_named(saved, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = str(pictures / "red" / "0.png")
    assert main(["graph", str(saved), image, "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert out == "graph.png\n" and "the figure is graph.png in this folder; --out graph.html writes a page" in err
    first = (tmp_path / "graph.png").read_bytes()
    assert "not overwritten" in fails(capsys, "graph", saved, image)
    assert (tmp_path / "graph.png").read_bytes() == first
    assert main(["graph", str(saved), image, "--out", "b.png"]) == 0
    assert not any("--out" in line for line in notes(capsys))


@pytest.mark.parametrize(("side", "few"), [(64, True), (192, False), (256, False)])
def test_a_picture_of_few_patches_names_the_option_for_more(saved, pictures, tmp_path, capsys, side, few):
    """The last stage of the pyramid has a patch for 16 x 16 pixels."""
    image, size = str(pictures / "red" / "0.png"), ["--image-size", str(side)]
    assert main(["graph", str(saved), image, "--out", str(tmp_path / "a.svg"), *size]) == 0
    said = [line for line in notes(capsys) if "has only" in line]
    assert len(said) == few
    if few:
        assert f"{side // 16} x {side // 16} patches" in said[0] and f"--image-size {2 * side}, has more" in said[0]
        again = ["--image-size", str(2 * side), "--out", str(tmp_path / "b.svg")]
        assert main(["graph", str(saved), image, *again]) == 0


def test_a_figure_of_patches_that_are_their_own_neighbors_comes_with_a_note(saved, pictures, tmp_path, capsys):
    image = str(pictures / "red" / "0.png")
    for end, said in {"svg": 1, "html": 0}.items():
        assert main(["graph", str(saved), image, "--out", str(tmp_path / f"a.{end}")]) == 0
        assert sum("one of its own neighbors" in line for line in notes(capsys)) == said
    model = calibrated(vig_micro(num_classes=2, image_size=96, graph="random"))
    model.save_pretrained(tmp_path / "random")
    assert main(["graph", str(tmp_path / "random"), image, "--out", str(tmp_path / "c.svg")]) == 0
    assert not any("its own" in line for line in notes(capsys))


def test_a_strip_of_which_little_is_seen_is_noted(saved, tmp_path, capsys):
    Image.new("RGB", (400, 50), "red").save(tmp_path / "strip.png")
    assert main(["graph", str(saved), str(tmp_path / "strip.png"), "--out", str(tmp_path / "a.html")]) == 0
    assert "strip.png has 400 x 50 pixels: the model sees only the square in its middle" in capsys.readouterr().err
