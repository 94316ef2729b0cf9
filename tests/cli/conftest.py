import pytest

from tests.cli.common import QUICK
from tests.pictures import make_folder
from vig_pyg.cli import main


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run on a folder of pictures, and the folder."""
    root = tmp_path_factory.mktemp("cli")
    pictures = make_folder(root / "pictures")
    assert main(["train", "--data", str(pictures), "--out", str(root / "run"), *QUICK]) == 0
    return root / "run", pictures
