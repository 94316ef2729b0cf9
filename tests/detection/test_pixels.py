import json

import numpy as np
import pytest
import torch

from tests.pictures import BROKEN, ODD, make_odd, make_various
from vig_pyg.detection.data import DetectionSet, open_source
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.image_io import UnreadableImageError, stored_size


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """All files that are hard to read but can be read."""
    folder = tmp_path_factory.mktemp("odd")
    make_odd(folder)
    make_various(folder)
    np.save(folder / "floats.npy", np.linspace(0, 1, 9 * 7 * 3).reshape(9, 7, 3))
    return [path for path in sorted(folder.iterdir()) if path.name not in BROKEN]


def test_training_and_evaluation_read_what_prediction_reads(files, tmp_path):
    found = {path: read_pixels(path) for path in files}
    images = [
        {"id": i, "file_name": str(path), "height": image.size(1), "width": image.size(2)}
        for i, (path, image) in enumerate(found.items())
    ]
    annotations = tmp_path / "all.json"
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    annotations.write_text(json.dumps(content))
    pictures = DetectionSet(open_source(f"{annotations}:{tmp_path}"))
    assert len(pictures) == len(found) > 100
    for i, image in enumerate(found.values()):
        assert torch.equal(pictures[i][0], image / 255), files[i]
        assert torch.equal(pictures[(i, 3)][0], image / 255)
    assert ODD.keys() <= {path.name for path in files}


def test_the_size_is_known_from_the_header(files):
    turned = 0
    for path in files:
        (width, height), orientation = stored_size(path)
        turned += orientation != 1
        shape = (width, height) if orientation > 4 else (height, width)
        assert read_pixels(path).shape[1:] == shape, path
    assert turned > 20


def test_an_array_is_in_color_and_has_the_range_of_its_kind(tmp_path):
    bytes_ = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    for name, array in (("a", bytes_), ("b", bytes_ / 255), ("c", bytes_.astype(np.uint16) * 257)):
        np.save(tmp_path / f"{name}.npy", array)
        assert torch.equal(read_pixels(tmp_path / f"{name}.npy"), torch.from_numpy(bytes_).permute(2, 0, 1))
    np.save(tmp_path / "grey.npy", bytes_[..., 0])
    with pytest.raises(UnreadableImageError, match=r"\(5, 6\), expected \(height, width, 3\)"):
        read_pixels(tmp_path / "grey.npy")
