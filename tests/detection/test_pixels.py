import json

import numpy as np
import pytest
import torch

from tests.detection.scenes import make_coco
from tests.images import BROKEN, ODD, make_odd, make_various
from vig_pyg.detection import dataset
from vig_pyg.detection.data import open_source
from vig_pyg.detection.dataset import DetectionSet
from vig_pyg.detection.evaluate import evaluate_detector
from vig_pyg.detection.load import ObjectDetector
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.detection.predict import predict
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
    np.save(tmp_path / "gray.npy", bytes_[..., 0])
    with pytest.raises(UnreadableImageError, match=r"\(5, 6\), expected \(height, width, 3\)"):
        read_pixels(tmp_path / "gray.npy")


class Keeps(torch.nn.Module):
    """A detector that keeps what it is given, and finds nothing."""

    def __init__(self):
        super().__init__()
        self.images = []

    def forward(self, images):
        self.images += images
        nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)}
        return [nothing] * len(images)


def test_every_command_gives_the_detector_the_same_tensor(files, tmp_path):
    content = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    content["images"] = [{"id": i, "file_name": str(path)} for i, path in enumerate(files)]
    annotations = tmp_path / "all.json"
    annotations.write_text(json.dumps(content))
    source = f"{annotations}:{tmp_path}"
    trained, evaluated, predicted = DetectionSet(open_source(source)), Keeps(), Keeps()
    options = {"class_names": ["a"], "category_ids": [1], "name": "keeps"}
    evaluate_detector(
        ObjectDetector(model=evaluated, **options), source, batch_size=5, num_workers=0, device="cpu", progress=False
    )
    predict(ObjectDetector(model=predicted, **options), files, tmp_path / "out", device="cpu")
    assert len(trained) == len(evaluated.images) == len(predicted.images) == len(files) > 100
    left = list(evaluated.images)  # images of one size are evaluated together, so their order is another
    for i, path in enumerate(files):
        assert torch.equal(trained[i][0], read_pixels(path) / 255), path
        assert torch.equal(trained[i][0], predicted.images[i]), path
        same = [j for j, image in enumerate(left) if image.shape == trained[i][0].shape and image.equal(trained[i][0])]
        assert same, path
        del left[same[0]]


def test_masks_have_a_largest_size(tmp_path, monkeypatch):
    pictures = DetectionSet(open_source(make_coco(tmp_path, count=1)), masks=True)
    need = pictures[0][1]["masks"].numel()
    monkeypatch.setattr(dataset, "MAX_MASK_BYTES", need)
    assert pictures[0]
    monkeypatch.setattr(dataset, "MAX_MASK_BYTES", need - 1)
    with pytest.raises(ValueError, match=r"0\.png has \d objects .* Cut the image into tiles"):
        pictures[0]
