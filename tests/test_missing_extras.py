"""Each package of an extra hidden in turn: what needs it says so, with the command that installs it here."""

import shlex
import sys
import tomllib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg import vig_micro
from vig_pyg.cli import main

EXTRAS = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
#: Names of distributions whose modules have another name.
DISTRIBUTIONS = {"yaml": "pyyaml", "sklearn": "scikit-learn", "skimage": "scikit-image"}


def requirement(module):
    """The requirement of a module, as in pyproject.toml, without a comment of an extra."""
    name = DISTRIBUTIONS.get(module, module)
    found = {one for extra in EXTRAS.values() for one in extra if one.partition(">=")[0].partition("[")[0] == name}
    assert len(found) == 1, found
    return found.pop()


@pytest.fixture
def hide(monkeypatch):
    """Hide modules from imports, and their distributions from the list of the installed ones."""
    # the environment may have been made from an older pyproject.toml
    lines = [f"{one}; extra == '{extra}'" for extra, some in EXTRAS.items() for one in some]
    monkeypatch.setattr(metadata, "requires", lambda _: lines)

    def hidden(*modules):
        for name in list(sys.modules):
            if name.partition(".")[0] in modules or name.startswith(CHECKED_AT_IMPORT):
                monkeypatch.delitem(sys.modules, name)
        for name in modules:
            monkeypatch.setitem(sys.modules, name, None)
        gone = {DISTRIBUTIONS.get(name, name) for name in modules}
        version = metadata.version

        def version_of(name):
            if name in gone:
                raise metadata.PackageNotFoundError(name)
            return version(name)

        monkeypatch.setattr(metadata, "version", version_of)

    return hidden


#: Rooms that check their packages when they are imported.
CHECKED_AT_IMPORT = ("vig_pyg.engine", "vig_pyg.timm", "vig_pyg.classification.ablation")
TRAIN = ("lightning", "torchmetrics", "sklearn", "safetensors", "timm", "yaml", "rich", "jsonargparse")
DETECT = ["detect", "train", "--train", "a.json", "--val", "a.json", "--out", "run"]
SEGMENT = ["segment", "train", "--train", "a", "--val", "a", "--out", "run"]
#: Commands, and the packages without which they end.
COMMANDS = [
    (["train", "--data", "photos"], TRAIN),
    (["ablate", "--data", "photos"], TRAIN),
    (DETECT, (*TRAIN, "pycocotools", "matplotlib")),
    (["detect", "evaluate", "vig_tiny", "a.json"], (*TRAIN, "pycocotools")),
    (SEGMENT, TRAIN),
    (["segment", "evaluate", "vig_tiny", "a"], TRAIN),
    (["segment", "predict", "vig_tiny", "photo.png", "--rle"], ("pycocotools",)),
    (["predict", "vig_tiny", "photo.png", "--graph", "[knn, grid]"], ("yaml",)),
    (["graph", "vig_tiny", "photo.png"], ("matplotlib",)),
    (["completion", "bash"], ("shtab", "jsonargparse")),
]


def check(text, modules):
    """The text ends with a command that installs what is hidden, and nothing that is installed, in one line."""
    command = text.rpartition(": ")[2].strip()
    pip = "pip install " if find_spec("pip") else "uv pip install "
    assert command.startswith(pip), text
    assert sorted(shlex.split(command)[len(pip.split()) :]) == sorted(map(requirement, modules)), text
    assert "(extra" in text and text.strip().count("\n") == 0


@pytest.mark.parametrize(
    ("argv", "module"),
    [(argv, module) for argv, modules in COMMANDS for module in modules],
    ids=lambda part: part if isinstance(part, str) else " ".join(part[:2]),
)
def test_a_command_names_the_package_that_is_missing(argv, module, hide, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (32, 32)).save("photo.png")
    hide(module)
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert not out and err.startswith("vig-pyg: ") and module in err
    check(err, [module])
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def _figure():
    from vig_pyg._figure import figure

    figure(1, 1)


def _superpixels():
    from vig_pyg.transforms import ToSuperpixelGraph

    ToSuperpixelGraph(9)


def _networkx():
    from vig_pyg.explain import layer_networkx

    graphs = vig_micro().eval().graphs(torch.rand(1, 3, 32, 32))
    layer_networkx(graphs[0].get_example(0))


def _onnx():
    from vig_pyg.export import to_onnx

    to_onnx(vig_micro(image_size=32), "new.onnx")


def _save():
    vig_micro().save_pretrained("new")


def _load():
    from vig_pyg import ViG

    ViG.from_pretrained("somebody/my-vig")


def _read():
    from vig_pyg.weights import fetch

    Path("weights.safetensors").write_bytes(bytes(64))
    fetch("weights.safetensors")


def _timm():
    import vig_pyg.timm  # noqa: F401


def _wordnet():
    from vig_pyg.classification.labels import class_numbers

    class_numbers(["n01440764"], [str(i) for i in range(1000)])


def _data(name):
    from vig_pyg.classification.readers import ReaderOptions
    from vig_pyg.classification.readers.registry import open_collection

    open_collection(name, ReaderOptions())


def _tensorboard():
    from vig_pyg.engine.config import TrainConfig
    from vig_pyg.engine.preflight import check_extras

    check_extras(TrainConfig(tensorboard=True), first=False)


def _outlines():
    from vig_pyg.detection import masks

    masks._coco_mask.cache_clear()  # it may have been imported before
    masks.encode_mask(np.ones((2, 3), bool))


def _precision():
    from vig_pyg.detection.coco_evaluator import _truth

    _truth(None, masks=False)


FUNCTIONS = [
    (_outlines, ["pycocotools"]),
    (_precision, ["pycocotools"]),
    (_figure, ["matplotlib"]),
    (_superpixels, ["skimage"]),
    (_networkx, ["networkx"]),
    (_onnx, ["onnx"]),
    (_onnx, ["onnxscript"]),
    (_onnx, ["onnx", "onnxscript"]),
    (_save, ["huggingface_hub"]),
    (_save, ["safetensors"]),
    (_load, ["huggingface_hub"]),
    (_load, ["safetensors"]),
    (_read, ["safetensors"]),
    (_timm, ["timm"]),
    (_timm, ["huggingface_hub"]),
    (_timm, ["timm", "safetensors"]),
    (_wordnet, ["timm"]),
    (lambda: _data("hfds/photos"), ["datasets"]),
    (lambda: _data("torch/mnist"), ["timm"]),
    (lambda: _data("torch/mnist"), ["filelock"]),
    (_tensorboard, ["tensorboard"]),
]


@pytest.mark.parametrize(("call", "modules"), FUNCTIONS)
def test_a_function_names_the_package_that_is_missing(call, modules, hide, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if call is _tensorboard:
        import vig_pyg.engine.preflight  # noqa: F401

        monkeypatch.setitem(sys.modules, "tensorboardX", None)
    hide(*modules)
    with pytest.raises(ImportError) as caught:
        call()
    text = str(caught.value)
    check(text, modules)
    assert not list(tmp_path.glob("new*"))


def test_no_package_of_an_extra_is_left_out():
    """Those that a user calls without this library, those that others need, and torch_cluster have tests elsewhere."""
    tested = {module for _, modules in COMMANDS for module in modules} | {m for _, some in FUNCTIONS for m in some}
    elsewhere = {"vig-pyg", "scipy", "captum", "onnxruntime", "torch_cluster", "torch_scatter"}
    elsewhere |= {"ipykernel", "ipywidgets", "nbclient", "nbformat"}
    named = {one.partition(">=")[0].partition("[")[0] for extra in EXTRAS.values() for one in extra}
    assert named - elsewhere == {DISTRIBUTIONS.get(module, module) for module in tested}
