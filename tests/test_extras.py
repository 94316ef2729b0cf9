"""Each extra alone in a clean environment: its commands run, the others name their extra before any work begins."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import MNIST

from tests.classification.readers.mnist import write_mnist
from tests.classification.readers.shards import from_folders
from vig_pyg import vig_micro

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TRAINING = ("--epochs", "1", "--num-workers", "0", "--quiet")
SEGMENTATION = ("--batch-size", "2", "--crop-size", "[32, 32]", "--model", "micro", *TRAINING)
DETECTION = ("--batch-size", "2", "--options.min_size", "64", "--options.max_size", "64", "--model", "micro", *TRAINING)
#: Commands, the extras without which they stop, and the extra that their message names then.
COMMANDS = [
    (("models",), set(), ""),
    (("predict", "model", "images/val"), {"safetensors"}, "hub"),
    (("evaluate", "model", "images/val"), {"safetensors"}, "hub"),
    (("graph", "model", "images/val/a/0.png", "--out", "page.html"), {"safetensors"}, "hub"),
    (("graph", "model", "images/val/a/0.png", "--out", "graph.png"), {"safetensors", "matplotlib"}, "hub|plot"),
    (("convert", "model", "out.pth"), {"safetensors"}, "hub"),
    (("train", "--data", "images", "--model", "vig_micro", "--image-size", "32", "--batch-size", "4", "--out", "run",
      *TRAINING),
     {"lightning", "jsonargparse"}, "train"),
    (("train", "--data", "wds/shards", "--model", "vig_micro", "--image-size", "32", "--batch-size", "4",
      "--out", "run3", *TRAINING),
     {"lightning", "jsonargparse"}, "train"),
    (("ablate", "--conv", "mr", "edge", "--seeds", "1", "--data", "images", "--model", "vig_micro", "--image-size",
      "32", "--batch-size", "4", "--out", "compared", *TRAINING),
     {"lightning", "jsonargparse"}, "train"),
    (("evaluate", "model", "wds/shards"), {"safetensors"}, "hub"),
    (("evaluate", "small_digits", "digits"), {"safetensors", "lightning"}, "hub|train"),
    (("evaluate", "model", "hfds/images"), {"safetensors", "datasets"}, "hub|hfds"),
    (("evaluate", "digits", "torch/mnist"), {"safetensors", "timm"}, "hub|timm"),
    (("detect", "predict", "detector", "coco/0.png", "--out", "found"), {"safetensors"}, "hub"),
    (("detect", "evaluate", "detector", "coco/boxes.json", "--quiet"), {"lightning", "pycocotools"}, "train"),
    (("detect", "train", "--train", "coco/boxes.json", "--val", "coco/boxes.json", "--out", "run2", *DETECTION),
     {"lightning", "pycocotools", "matplotlib"}, "train"),
    (("segment", "predict", "segmenter", "images/val/a/0.png", "--out", "labels"), {"safetensors"}, "hub"),
    (("segment", "evaluate", "segmenter", "roads", "--quiet"), {"lightning"}, "train"),
    (("segment", "train", "--train", "roads", "--val", "roads", "--out", "run4", *SEGMENTATION),
     {"lightning", "jsonargparse"}, "train"),
]  # fmt: skip
FIND = "import importlib.util as u, sys; print(*[name for name in sys.argv[1:] if u.find_spec(name)])"
#: Runs commands without the packages of the extras, which `sys.argv[1]` lists, and prints what each said.
WITHOUT = """
import importlib.util as util, json, sys
absent, commands = sys.argv[1].split(","), json.loads(sys.argv[2])
find = util.find_spec
util.find_spec = lambda name, *rest: None if name.partition(".")[0] in absent else find(name, *rest)
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from vig_pyg.cli import main
for command in commands:
    print("#", main(command), file=sys.stderr, flush=True)
"""
#: Flags before which a command may need an extra: help, lists and files in YAML, and the user's own code.
EARLY = (
    [], ["--help"], ["--conv", "mr", "edge"], ["--graph", "[axial, knn]"], ["--conv", "nowhere:Conv"],
    ["--config", "a.yaml"], ["--print-config"], ["--unknown", "1"], ["--resume", "runs/a"],
)  # fmt: skip
NOTHING_YET = ("images of", "epoch", "Run folder")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A classifier, a detector, a segmentation network and images to use and train them with."""
    from vig_pyg import artifact
    from vig_pyg.detection import retinanet_pvig
    from vig_pyg.segmentation import SegmentationPreprocessing, semantic_fpn_pvig

    root, noise = tmp_path_factory.mktemp("files"), np.random.default_rng(0)

    def image(path, side):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(path)

    for place in ("train/a", "train/b", "val/a", "val/b"):
        for i in range(4):
            image(root / "images" / place / f"{i}.png", 32)
    from_folders(root / "images", root / "shards", None)
    write_mnist(root / "data", "MNIST", noise)
    model = vig_micro(num_classes=2, image_size=32)
    model.class_names = ["a", "b"]
    model.save_pretrained(root / "model")
    model = vig_micro(num_classes=10, image_size=28, in_channels=1)
    model.class_names = list(MNIST.classes)
    model.save_pretrained(root / "digits")
    model.class_names = [str(digit) for digit in range(10)]
    model.save_pretrained(root / "small_digits")
    detector = retinanet_pvig("micro", num_classes=1, min_size=64, max_size=64)
    (root / "detector").mkdir()
    artifact.write_config(root / "detector", detector, class_names=["box"], category_ids=[1])
    artifact.write_weights(root / "detector", detector.state_dict())
    segmenter = semantic_fpn_pvig("micro", num_classes=2, out_channels=16)
    (root / "segmenter").mkdir()
    look = SegmentationPreprocessing()
    artifact.write_config(root / "segmenter", segmenter, class_names=["sky", "road"], preprocessing=look)
    artifact.write_weights(root / "segmenter", segmenter.state_dict())
    (root / "roads" / "masks").mkdir(parents=True)
    for i in range(4):
        image(root / "roads" / "images" / f"{i}.png", 32)
        labels = noise.integers(0, 2, (32, 32), dtype=np.uint8)
        Image.fromarray(labels).save(root / "roads" / "masks" / f"{i}.png")
    (root / "roads" / "classes.txt").write_text("sky\nroad\n")
    boxes = [{"id": i + 1, "image_id": i, "category_id": 1, "bbox": [8, 8, 30, 30], "area": 900} for i in range(4)]
    for i in range(4):
        image(root / "coco" / f"{i}.png", 64)
    pictures = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in range(4)]
    coco = {"images": pictures, "annotations": boxes, "categories": [{"id": 1, "name": "box"}]}
    (root / "coco" / "boxes.json").write_text(json.dumps(coco))
    return root


def clean_environment(extra, folder):
    """An environment with the package and one of its extras, of what is in the cache or the registry."""
    kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    env = {**kept, "UV_PROJECT_ENVIRONMENT": str(folder / "environment"), "OMP_NUM_THREADS": "1"}
    chosen = ["--extra", extra] if extra else []
    for offline in (["--offline"], []):
        command = ["uv", "sync", "--no-dev", "--quiet", *offline, *chosen]
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        if done.returncode == 0:
            return folder / "environment" / "bin", env
    raise AssertionError(done.stderr)


def test_a_command_without_its_packages_names_the_extra_whatever_its_flags():
    trains = [["train"], ["ablate"], ["detect", "train"], ["segment", "train"]]
    commands = [[*start, *flags] for start in trains for flags in EARLY]
    commands += [["detect", "evaluate", "x", "y"], ["segment", "evaluate", "x", "y"], ["completion", "bash"]]
    absent = "lightning,torchmetrics,sklearn,safetensors,timm,yaml,rich,jsonargparse,pycocotools,shtab,huggingface_hub"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, absent, json.dumps(commands)], capture_output=True, text=True, check=True
    )
    said = done.stderr.strip().splitlines()
    assert len(said) == 2 * len(commands), done.stderr
    for command, message, status in zip(commands, said[::2], said[1::2], strict=True):
        assert status == "# 2" and re.search(r"\(extras? (train|completion)\b.*install ", message), (command, message)


@pytest.mark.slow
@pytest.mark.parametrize("extra", ["", *EXTRAS])
def test_its_commands_run_and_the_others_name_their_extra(extra, tmp_path, files):
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    programs, env = clean_environment(extra, tmp_path)
    found = subprocess.run(
        [programs / "python", "-c", FIND,
         "safetensors", "matplotlib", "lightning", "jsonargparse", "pycocotools", "datasets", "timm"],
        env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    here = set(found.stdout.split())
    shutil.copytree(files, tmp_path / "work")
    for arguments, needed, named in COMMANDS:
        done = subprocess.run(
            [programs / "vig-pyg", *arguments], cwd=tmp_path / "work", env=env, capture_output=True, text=True
        )
        said = f"{extra}: {' '.join(arguments)}: {done.returncode}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
        if needed <= here:
            assert done.returncode == 0, said
            continue
        assert done.returncode == 2, said
        assert any(re.search(rf"\(extras? {name}\b.*pip install ", done.stderr) for name in named.split("|")), said
        assert len(done.stderr.strip().splitlines()) == 1 and not any(word in done.stdout for word in NOTHING_YET), said
