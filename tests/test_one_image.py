"""One image, one tensor: whatever the file, every way into a model sees the same pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from tests.images import make_odd, make_various
from vig_pyg.classification import (
    Augmentation,
    CsvData,
    FolderData,
    ImageClassifier,
    LabeledImages,
    evaluate,
    predict,
)
from vig_pyg.classification.batches import batches
from vig_pyg.image_io import as_image, read_image, with_channels
from vig_pyg.preprocess import Preprocessing
from vig_pyg.segmentation import SegmentationPreprocessing
from vig_pyg.segmentation.config import Augmentation as SegmentationAugmentation
from vig_pyg.segmentation.data import SegmentationSet
from vig_pyg.segmentation.masks import IndexMask
from vig_pyg.segmentation.records import SegmentationDataset, SegmentationRecord

PLAIN = Augmentation(crop=None, flip=0.0)


class Keeps(nn.Module):
    """A model that keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.images = []

    def forward(self, images):
        self.images.append(images)
        return torch.zeros(len(images), 2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All odd files, as the images of one class, in `train/` and in `val/`."""
    root = tmp_path_factory.mktemp("one_image")
    for part in ("train", "val"):
        make_odd(root / part / "odd")
        make_various(root / part / "odd")
        for path in (root / part / "odd").iterdir():
            try:
                read_image(path)
            except ValueError:
                path.unlink()
    for part in ("train", "val"):
        (root / part / "other").mkdir()
        Image.new("L", (9, 9)).save(root / part / "other" / "a.png")
    return root


def by_name(pictures, names):
    assert [source.rsplit("/", 1)[1] for source in names if "/odd/" in source]
    return {source.rsplit("/", 1)[1]: pictures[i][0] for i, source in enumerate(names) if "/odd/" in source}


def doors_of_training(root, **options):
    options = {"on_bad": "drop", "num_workers": 0, "augmentation": PLAIN, **options}
    for cache in (None, 4000):
        data = FolderData(root, cache=cache, **options)
        sources = list(data.train_set.sources), list(data.val_set.sources)
        data.setup("fit")
        yield f"train, cache={cache}", by_name(data.train_set, sources[0])
        yield f"val, cache={cache}", by_name(data.val_set, sources[1])
    table = root / "table.csv"
    paths = sorted((root / "train" / "odd").iterdir())
    rows = [f"{path.relative_to(root)},{i % 2},{split}" for i, path in enumerate(paths) for split in ("train", "val")]
    table.write_text("\n".join(["path,label,split", *rows]))
    data = CsvData(table, **options)
    yield "table", by_name(data.val_set, data.val_set.sources)


def doors_of_prediction(root, preprocessing):
    paths = sorted((root / "val" / "odd").iterdir())
    images = torch.cat([batch.images for batch in batches(paths, preprocessing, batch_size=32, num_workers=0)])
    yield "batches", images
    for command in (predict, evaluate):
        model = Keeps()
        classifier = ImageClassifier(name="", model=model, class_names=["a", "b"], preprocessing=preprocessing)
        if command is predict:
            assert len(list(predict(classifier, paths))) == len(paths)
        else:
            evaluate(classifier, LabeledImages(paths, [0] * len(paths)))
        yield command.__name__, torch.cat(model.images)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_door_gives_the_same_tensor(root, channels):
    options = {"image_size": 9, "in_channels": channels, "crop_pct": 0.9}
    preprocessing = Preprocessing(**options)
    want = {path.name: preprocessing(read_image(path)) for path in sorted((root / "val" / "odd").iterdir())}
    assert len(want) > 90
    for door, found in doors_of_training(root, **options):
        assert found.keys() == want.keys(), door
        for name, image in found.items():
            assert torch.equal(image, want[name]), (door, name)
    stacked = torch.stack(list(want.values()))
    for door, images in doors_of_prediction(root, preprocessing):
        assert torch.equal(images, stacked), door


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64, bool])
def test_arrays_too(tmp_path, channels, kind):
    top = {np.uint8: 255, np.uint16: 65535}.get(kind, 1)
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for name in ("odd", "other"):
            (tmp_path / part / name).mkdir(parents=True)
            np.save(tmp_path / part / name / "a.npy", (rng.random((20, 30, channels)) * top).astype(kind))
    options = {"image_size": 9, "in_channels": channels, "crop_pct": 0.9}
    preprocessing = Preprocessing(**options)
    for door, found in doors_of_training(tmp_path, **options):
        part = "train" if door.startswith(("train", "table")) else "val"
        assert torch.equal(found["a.npy"], preprocessing(read_image(tmp_path / part / "odd" / "a.npy"))), door
    for door, images in doors_of_prediction(tmp_path, preprocessing):
        assert torch.equal(images[0], preprocessing(read_image(tmp_path / "val" / "odd" / "a.npy"))), door


def test_an_array_of_bytes_is_the_image_with_these_pixels(tmp_path):
    make_various(tmp_path)
    for name, channels in (("gray.png", 1), ("gray_opacity.png", 2), ("a.bmp", 3), ("opacity.png", 4)):
        image = read_image(tmp_path / name)
        np.save(tmp_path / "a.npy", np.asarray(image))
        preprocessing = Preprocessing(image_size=9, in_channels=channels)
        assert torch.equal(preprocessing(read_image(tmp_path / "a.npy")), preprocessing(image))


def test_segmentation_sees_the_pixels_of_the_others(root, tmp_path):
    """In training, evaluation and prediction; with the masks of all odd files."""
    paths = sorted((root / "val" / "odd").iterdir())
    plain = SegmentationPreprocessing()
    want = {path.name: Preprocessing(image_size=1).tensor(with_channels(as_image(path), 3)) for path in paths
            if path.suffix != ".npy"}  # fmt: skip
    records = []
    for path in paths:
        if path.name in want:
            mask = tmp_path / f"{path.name}.png"
            Image.new("L", (want[path.name].size(2), want[path.name].size(1))).save(mask)
            records.append(SegmentationRecord(path, IndexMask(mask)))
    source = SegmentationDataset("odd", records, ["a", "b"])
    still = SegmentationAugmentation(scale=(1.0, 1.0), flip="none", color=0)
    for record in records:
        one = replace(source, records=[record])
        size = tuple(want[record.path.name].shape[1:])
        try:
            found = [
                SegmentationSet(one, plain)[0][0],
                SegmentationSet(one, plain, augmentation=still, crop_size=size)[0][0],
                plain(read_image(record.path)),
            ]
        except ValueError as error:
            assert "is rotated by its EXIF data" in str(error)  # the same size before and after: see read_mask
            continue
        for image in found:
            torch.testing.assert_close(image, want[record.path.name], rtol=0, atol=1e-6)
