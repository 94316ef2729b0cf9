"""One short run that several tests look at."""

import pytest

from tests.segmentation.common import fit, plan
from tests.segmentation.scenes import make_folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a run of a few epochs, and its images."""
    root = tmp_path_factory.mktemp("segmentation")
    data = make_folder(root / "data", count=4)
    fit(plan(data, epochs=12, evaluate_every=12, lr=5e-3), root / "run")
    return root / "run", data
