"""Images with their objects; an evaluation or a run that one of them stops names all that cannot be read."""

import pytest
from PIL import Image

from tests.detection.scenes import make_coco
from vig_pyg.detection.data import open_source
from vig_pyg.detection.dataset import DetectionSet
from vig_pyg.engine.faults import naming_all_faults, with_all_faults


def test_all_that_cannot_be_read_are_named(tmp_path):
    path = make_coco(tmp_path)
    found = DetectionSet(open_source(path))
    first, second, third = (found.source.records[i].path for i in (0, 2, 3))
    first.write_bytes(b"no image")
    second.unlink()
    Image.new("RGB", (3, 3)).save(third)
    with pytest.raises(ValueError, match=r"cannot be read") as error:
        found[0]
    told = with_all_faults(str(error.value), [found.readable()])
    assert told.startswith(f"3 of {len(found)} images cannot be used:\n  ")
    assert all(f"{one}" in told for one in (first, second, third)) and "no image at" in told and "pixels" in told
    with pytest.raises(OSError, match=r"^3 of \d images"), naming_all_faults(found.readable()):
        found[2]
