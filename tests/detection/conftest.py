"""One short run that several tests look at."""

import pytest

from tests.detection.common import fit, plan
from tests.detection.scenes import make_coco

#: Half trained, it is not sure of anything.
LOW = {"detector": {"box_score_thresh": 0.01, "rpn_post_nms_top_n_train": 64, "box_batch_size_per_image": 32}}


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """The folder of a Mask R-CNN run of a few epochs, and its images in COCO's format."""
    root = tmp_path_factory.mktemp("detection")
    coco = make_coco(root / "images", count=4)
    fit(
        plan(coco, detector="maskrcnn", epochs=12, evaluate_every=12, options=LOW),
        root / "run",
        progress=False,
    )
    return root / "run", coco
