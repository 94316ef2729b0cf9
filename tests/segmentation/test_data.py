import pytest
import torch
from PIL import Image

from tests.segmentation.common import plan
from tests.segmentation.scenes import make_folder
from vig_pyg.detection.pixels import read_pixels
from vig_pyg.segmentation.config import Augmentation
from vig_pyg.segmentation.data import SegmentationData, SegmentationSet, collate
from vig_pyg.segmentation.loading import load_data
from vig_pyg.segmentation.preprocess import SegmentationPreprocessing
from vig_pyg.segmentation.sources import open_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("scenes") / "data", count=6)


def test_evaluation_keeps_the_size_of_the_mask(folder):
    source = open_source(folder)
    for size in (None, 24):
        preprocessing = SegmentationPreprocessing(image_size=size)
        dataset = SegmentationSet(source, preprocessing)
        assert len(dataset) == 6
        for i, record in enumerate(source.records):
            image, labels = dataset[i]
            assert torch.equal(image, preprocessing.of_pixels(read_pixels(record.path)))
            with Image.open(record.path) as file:
                assert labels.shape == (file.height, file.width)


def test_an_augmented_item_depends_on_its_seed_alone(folder):
    dataset = SegmentationSet(
        open_source(folder), SegmentationPreprocessing(), augmentation=Augmentation(), crop_size=(20, 28)
    )
    first, _, again, other = (dataset[item] for item in ((1, 7), (2, 7), (1, 7), (1, 8)))
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == (3, 20, 28) and first[1].shape == (20, 28)


def test_batches_are_tensors_where_sizes_agree(folder):
    dataset = SegmentationSet(open_source(folder), SegmentationPreprocessing())
    images, labels = collate([dataset[0], dataset[1], dataset[None]])
    assert isinstance(images, list) and isinstance(labels, list)
    assert (labels[2] == 255).all()
    images, labels = collate([dataset[0], dataset[0]])
    assert images.dim() == 4 and labels.dim() == 3


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 4), (3, 4)])
def test_validation_batches_are_single_images(folder, monkeypatch, rank, world):
    """A training batch of whole images may need more memory than its crops."""
    data = load_data(plan(folder, batch_size=4))
    monkeypatch.setattr(data, "_processes", lambda: (rank, world, 1))
    found = [len(images) for images, _ in data.val_dataloader()]
    assert found == [1] * (6 if world == 1 else 2)
    if world == 1:
        assert [len(images) for images, _ in data.train_dataloader()] == [4]


def test_an_image_that_vanished_is_named(folder, tmp_path):
    data = load_data(plan(make_folder(tmp_path / "data", count=2)))
    (tmp_path / "data" / "images" / "1.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"images/1\.png cannot be read"):
        data.val_set[1]


@pytest.mark.parametrize("batch_size", [0, 7])
def test_a_batch_needs_its_images(folder, batch_size):
    source = open_source(folder)
    with pytest.raises(ValueError, match="batch_size must be from 1 to 6"):
        SegmentationData(
            source,
            source,
            preprocessing=SegmentationPreprocessing(),
            augmentation=Augmentation(),
            crop_size=(16, 16),
            batch_size=batch_size,
        )
