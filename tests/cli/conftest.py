import pytest
import torch

from tests.cli.common import QUICK
from tests.common import calibrated
from tests.images import make_folder, make_odd
from vig_pyg import pvig_micro
from vig_pyg.cli import main


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run on a folder of images, and the folder."""
    root = tmp_path_factory.mktemp("cli")
    pictures = make_folder(root / "images")
    assert main(["train", "--data", str(pictures), "--out", str(root / "run"), *QUICK]) == 0
    return root / "run", pictures


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """A folder of `save_pretrained`: a pyramid that tells blue from red by chance."""
    torch.manual_seed(0)
    model = calibrated(pvig_micro(num_classes=2))
    model.class_names = ["blue", "red"]
    model.save_pretrained(folder := tmp_path_factory.mktemp("saved"))
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Two classes of four images each."""
    return make_folder(tmp_path_factory.mktemp("images"), train=0) / "val"


@pytest.fixture(scope="session")
def odd(tmp_path_factory):
    """A folder of odd and broken images, all of one class."""
    return make_odd(tmp_path_factory.mktemp("odd") / "red")
