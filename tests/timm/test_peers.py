"""Slow tests in which other libraries use our models, and timm's own tests try them."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import timm
import torch

from tests.timm.peers import make_images
from tests.timm.training import OPTIONS, resume, train, validate
from vig_pyg import list_models

ROOT = Path(__file__).parents[2]
#: Packages of each library that this library's environment lacks; the versions are those with which they run together.
PEERS = {
    "smp": ["segmentation-models-pytorch>=0.5"],
    "transformers": ["transformers>=5", "tokenizers", "regex"],
    "fastai": [
        *("fastai>=2.8", "fastcore", "fasttransform", "fastdownload", "fastprogress<1.1"),
        *("plum-dispatch", "beartype", "cloudpickle", "pandas"),
    ],
}
LARGEST = ("vig_base", "pvig_base")


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "passive", **more}


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_other_libraries(name, tmp_path):
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", tmp_path, "--no-deps"]
    subprocess.run([*command, *PEERS[name]], check=True)
    env = environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}", HF_HUB_OFFLINE="1")
    done = subprocess.run(
        [sys.executable, "-m", "tests.timm.peers", name], cwd=ROOT, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.endswith("done\n"), done.stdout + done.stderr[-3000:]


@pytest.fixture(scope="module")
def their_file(tmp_path_factory):
    """timm's `test_models.py`, from its archive on the registry, of the version that is installed."""
    folder = tmp_path_factory.mktemp("timm")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "timm"]
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        command[:3] = ["uv", "tool", "run", "pip"]
    subprocess.run([*command, f"timm=={timm.__version__}", "--dest", folder], check=True)
    with tarfile.open(next(folder.glob("timm-*.tar.gz"))) as archive:
        text = archive.extractfile(f"timm-{timm.__version__}/tests/test_models.py").read()
    (folder / "test_models.py").write_bytes(text)
    return folder / "test_models.py"


@pytest.mark.slow
@pytest.mark.parametrize("model", [name for name in list_models() if name not in LARGEST])
def test_timm_s_own_tests(their_file, model):
    """All but TorchScript and fx, which torch has given up and which cannot trace a search."""
    options = ["-q", "-c", os.devnull, "--rootdir", their_file.parent, "-p", "tests.timm.their_tests", "-W", "ignore"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-k", "not torchscript and not fx", their_file.name],
        cwd=their_file.parent, env=environment(MODELS=model), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = int(done.stdout.rsplit(" passed", 1)[0].split()[-1])
    assert passed >= 15 and "skipped" not in done.stdout.splitlines()[-1], done.stdout


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # timm leaves the files of images open
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", OPTIONS)
def test_training_and_evaluation_with_timm_s_parts(name, tmp_path):
    root, options = make_images(tmp_path / "images"), OPTIONS[name]
    model, score = train(root, tmp_path / "out", options)
    assert score >= 75  # dark and light images
    last = tmp_path / "out" / "last.pth.tar"
    assert validate(root, last, options) == score
    again, epoch = resume(last, options)
    assert epoch == 5
    for one, two in zip(again.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(one, two)
