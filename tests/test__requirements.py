import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from vig_pyg import _requirements
from vig_pyg._requirements import install_command, missing_message, require, requirements_of

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def flat(extra):
    """Requirements of an extra in pyproject.toml, with those of the extras it names."""
    found = []
    for one in EXTRAS[extra]:
        own = re.match(r"vig-pyg\[(.*)\]", one)
        found += [part for name in own[1].split(",") for part in flat(name)] if own else [one]
    return list(dict.fromkeys(found))


@pytest.fixture(params=["; extra == 'NAME'", ' ; extra=="NAME"', '; python_version >= "3.11" and extra == "NAME"'])
def installed(request, monkeypatch):
    """The metadata of this package as build tools write them, while nothing else is installed."""
    lines = ["torch>=2.11"]
    for name in EXTRAS:
        lines += [one + request.param.replace("NAME", name) for one in EXTRAS[name]]
    monkeypatch.setattr(metadata, "requires", lambda _: lines)
    monkeypatch.setattr(_requirements, "_is_installed", lambda _: False)


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_command_names_the_packages_of_the_extra(extra, installed):
    assert requirements_of(extra) == flat(extra)
    assert shlex.split(install_command(extra))[-len(flat(extra)) :] == flat(extra)
    both = f"plot,{extra}"
    assert set(flat("plot")) | set(flat(extra)) <= set(shlex.split(install_command(both)))


def test_installed_packages_are_left_out(installed, monkeypatch):
    monkeypatch.setattr(_requirements, "_is_installed", lambda one: one.startswith("captum"))
    assert shlex.split(install_command("explain"))[-1:] == flat("explain")[1:]
    monkeypatch.setattr(_requirements, "_is_installed", lambda _: True)  # one of them is too old, or broken
    assert shlex.split(install_command("explain"))[-2:] == flat("explain")


@pytest.mark.parametrize("pip", [True, False])
def test_an_environment_without_pip_gets_the_command_of_uv(pip, installed, monkeypatch):
    monkeypatch.setattr(_requirements, "find_spec", lambda name: None if name == "pip" and not pip else object())
    assert install_command("plot") == ("pip" if pip else "uv pip") + ' install "matplotlib>=3.10.7"'
    assert "--no-build-isolation" in install_command("cluster")


def test_a_package_that_is_not_installed_has_a_hint_too(monkeypatch):
    def fail(_):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", fail)
    assert install_command("train,plot") == "install the packages of the extras train, plot in pyproject.toml"


def test_the_message_names_extra_and_problem(installed):
    with pytest.raises(ImportError, match=r"Cooking needs oven_xyz, pan_xyz \(extras train, plot\): .*pip install "):
        require("Cooking", ["torch", "oven_xyz", "pan_xyz"], "train,plot")
    assert missing_message("a", "plot").startswith("a (extra plot): ")


def test_every_hint_is_made_by_the_one_function():
    for path in (ROOT / "vig_pyg").rglob("*.py"):
        if path.name != "_requirements.py":
            assert not re.search(r"vig-pyg\[|pip install", path.read_text()), path


WITHOUT = """
import sys
hidden = set(sys.argv[1:])
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
import torch
import vig_pyg, vig_pyg.testing
from vig_pyg.data import BatchLayout
from vig_pyg.graph import DilatedKNN
from vig_pyg.graph.cluster import cluster_neighbors
torch.manual_seed(0)
for seed in range(60):
    sizes = [tuple(torch.randint(1, 7, (2,)).tolist()) for _ in range(int(torch.randint(1, 5, ()).item()))]
    layout = BatchLayout.from_sizes(sizes)
    x = torch.randn(layout.num_nodes, 5, dtype=torch.float64)
    unit = x / x.norm(dim=1, keepdim=True)
    k, dilation = (int(n) for n in torch.randint(1, 4, (2,)))
    apart = layout.batch[:, None] != layout.batch[None]
    order = torch.cdist(unit, unit).masked_fill(apart, torch.inf).argsort(dim=1)
    for engine in ("auto", "dense"):
        source, target = DilatedKNN(k, dilation, engine=engine)(x, layout, x, layout)
        for i in range(layout.num_nodes):
            n = int((~apart[i]).sum())
            kept = min(k, n)
            step = max(1, min(dilation, n // kept))
            assert source[target == i].tolist() == order[i, : kept * step : step].tolist(), (seed, engine, i)
for name in ("vig_micro", "pvig_micro"):
    for engine in ("auto", "dense"):
        model = vig_pyg.create_model(name, num_classes=3, knn_engine=engine).eval()
        assert model([torch.rand(3, 64, 96), torch.rand(3, 32, 64)]).shape == (2, 3)
        assert model(torch.rand(2, 3, 64, 64)).shape == (2, 3)
x, layout = torch.rand(4, 2), BatchLayout.from_sizes([(2, 2)])
for call in (lambda: DilatedKNN(2, engine="torch_cluster"), lambda: cluster_neighbors(x, layout, x, layout, 2, None),
             lambda: vig_pyg.vig_micro(knn_engine="torch_cluster")):
    try: call()
    except ImportError as error: print(error)
"""


def test_without_the_compiled_packages_everything_but_their_engine_works():
    command = [sys.executable, "-W", "error", "-c", WITHOUT, "torch_cluster", "torch_scatter"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    for line in lines:
        assert 'needs torch_cluster, but knn_engine="auto" and "dense"' in line and "(extra cluster): " in line


ONLY_CORE = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1].split(",")))  # importing them fails, and find_spec finds nothing
from vig_pyg import builders
from vig_pyg.cli import main
builders.list_models = lambda: ["vig_micro"]  # measuring all models takes ten seconds
for arguments in ([], ["doctor"], ["models"], ["convert", "missing.pth", "b.safetensors"]):
    print(arguments, main(arguments), file=sys.stderr)
"""


def test_the_command_line_starts_with_the_core_alone(tmp_path):
    """The packages of all extras are hidden; `convert` ends with a user's error, not with a traceback."""
    extras = "yaml,lightning,torchmetrics,sklearn,scipy,safetensors,rich,jsonargparse,timm,huggingface_hub,filelock"
    more = "matplotlib,captum,onnx,onnxscript,onnxruntime,skimage,pycocotools,datasets,shtab,tensorboard"
    done = subprocess.run(
        [sys.executable, "-c", ONLY_CORE, f"{extras},{more},torch_cluster"], capture_output=True, text=True, cwd=ROOT
    )
    assert "Traceback" not in done.stderr and done.returncode == 0, done.stderr
    assert "[] 0" in done.stderr and "['doctor'] 0" in done.stderr and "['models'] 0" in done.stderr
