"""An operator, a graph, a network and a source of one's own: one file each, from Python and from the command line."""

import json
import subprocess
import sys

import pytest
import torch
from PIL import Image

import vig_pyg
from tests.own_modules import OPERATOR
from vig_pyg.classification import list_sources, load_config, load_data
from vig_pyg.classification.sources import SOURCES
from vig_pyg.cli import main
from vig_pyg.config import MODELS
from vig_pyg.conv import CONVS
from vig_pyg.engine import fit
from vig_pyg.graph import GRAPHS

FILES = {
    "own_ops.py": """
import torch
from torch import nn
from vig_pyg import register_conv

@register_conv("own_mean")
"""
    + OPERATOR,
    "own_graphs.py": '''
import torch

class OwnRing:
    """Each patch receives a message from its predecessor, the first of an image from the last."""

    def __new__(cls, k, dilation):
        return ring

def ring(x, layout, x_src, layout_src):
    index = torch.arange(layout.num_nodes)
    before = torch.where(index == layout.ptr[layout.batch], layout.ptr[layout.batch + 1] - 1, index - 1)
    return torch.stack([before, index])
''',
    "own_models.py": """
from vig_pyg import ViGConfig, register_model

own_small = register_model("own_small", ViGConfig(depth=2, channels=16, k=3, patch_size=4, head_channels=16))
""",
    "own_data.py": '''
import numpy as np
from vig_pyg.classification import ImageData, register_source
from vig_pyg.preprocess import Preprocessing

@register_source("own_stripes")
def own_stripes(image_size, in_channels, batch_size, num_workers, augmentation):
    """Horizontal and vertical stripes."""
    images = [np.tile(np.arange(16, dtype=np.uint8) % 2 * 200, (16, 1)) for _ in range(24)]
    images = [np.repeat((one if i % 2 else one.T)[..., None], in_channels, 2) for i, one in enumerate(images)]
    labels = [i % 2 for i in range(24)]
    return ImageData(
        "stripes", train=(images[:16], labels[:16]), val=(images[16:], labels[16:]), class_names=["rows", "columns"],
        preprocessing=Preprocessing(image_size=image_size, in_channels=in_channels), augmentation=augmentation,
        batch_size=batch_size, num_workers=num_workers,
    )
''',
}
#: One flag for each file, as import paths.
PATHS = ["--conv", "own_ops:OwnMean", "--graph", "own_graphs:OwnRing"]
TRAINING = ["--model", "own_models:own_small", "--data", "own_data:own_stripes"]
FEW = ["--epochs", "1", "--batch-size", "8", "--image-size", "16", "--num-workers", "0", "--quiet"]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The four files in the current folder, which is all that an addition is; everything is forgotten afterwards."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    registries = [(registry, list(registry)) for registry in (CONVS, GRAPHS, MODELS, SOURCES)]
    yield tmp_path
    for registry, names in registries:
        for name in [name for name in registry if name not in names]:
            registry.remove(name)
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_from_the_command_line(files, capsys):
    assert main(["train", *TRAINING, *PATHS, *FEW, "--out", "run"]) == 0
    model = json.loads((files / "run" / "config.json").read_text())["model"]
    assert (model["conv"], model["graph"], model["depth"]) == ("own_ops:OwnMean", "own_graphs:OwnRing", 2)
    found = vig_pyg.load("run")  # here all is registered
    assert found.classes == ["rows", "columns"] and type(found.model.graphers()[0].conv).__name__ == "OwnMean"
    Image.new("RGB", (20, 20)).save("some.png")
    capsys.readouterr()
    command = [sys.executable, "-m", "vig_pyg.cli", "predict", "run", "some.png", "--quiet", *PATHS]
    done = subprocess.run(command, capture_output=True, text=True)  # in a process that knows none of it
    assert done.returncode == 0 and "rows" in done.stdout, done.stderr


def test_from_python(files):
    sys.path.insert(0, str(files))
    import own_data  # noqa: F401
    import own_graphs
    import own_models
    import own_ops

    vig_pyg.register_graph("own_ring")(own_graphs.OwnRing)
    lists = vig_pyg.list_convs(), vig_pyg.list_graphs(), vig_pyg.list_models("own*"), list_sources()
    assert [names[-1] for names in lists] == ["own_mean", "own_ring", "own_small", "own_stripes"]
    config = load_config("scratch", ("test", {"data": "own_stripes", "image_size": 16, "batch_size": 8, "epochs": 1}))
    data = load_data(config)
    for out, conv, graph in [
        ("by_name", "own_mean", "own_ring"),
        ("by_code", own_ops.OwnMean, own_graphs.OwnRing),
        ("without_a_name", lambda i, o: own_ops.OwnMean(i, o), "own_ring"),
    ]:
        options = {"num_classes": 2, "image_size": 16, "conv": conv, "graph": graph}
        model = vig_pyg.create_model(own_models.own_small, **options)
        fit(model, data, config, out, progress=False)
        entry = json.loads((files / out / "config.json").read_text())["model"]
        assert entry["graph"] == "own_ring" and (entry["conv"] == "own_mean" or entry["conv"].endswith("<lambda>"))
        if out == "without_a_name":
            with pytest.raises(ValueError, match=r"conv is 'tests\.test_additions:.*<lambda>'.*register_conv"):
                vig_pyg.load(out)
            continue
        images = torch.rand(2, 3, 16, 16)
        assert torch.equal(vig_pyg.load(out).model(images), model.eval()(images))
