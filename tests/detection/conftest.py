"""One short run that several tests look at."""

import pytest

from tests.detection.common import plan
from tests.detection.scenes import make_coco
from vig_pyg.detection.fit import fit


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a Mask R-CNN run of one epoch, and its pictures in COCO's format."""
    root = tmp_path_factory.mktemp("detection")
    coco = make_coco(root / "pictures", count=4)
    fit(plan(coco, detector="maskrcnn", epochs=1), root / "run", num_workers=0, progress=False)
    return root / "run", coco
