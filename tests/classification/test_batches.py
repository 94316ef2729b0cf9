import os

import pytest
import torch

from tests.classification.common import paint
from tests.images import BROKEN, ODD, make_odd
from vig_pyg.classification.batches import batches
from vig_pyg.image_io import read_image
from vig_pyg.preprocess import Preprocessing

PREPROCESSING = Preprocessing(image_size=8)


def all_of(paths, **options):
    return list(batches(paths, PREPROCESSING, **{"batch_size": 4, "num_workers": 0} | options))


@pytest.mark.parametrize("workers", [0, 2])
def test_every_picture_comes_once_and_in_order_or_with_its_reason(tmp_path, workers):
    paths = sorted(make_odd(tmp_path).iterdir())
    found = all_of(paths, num_workers=workers)
    assert len(found) == -(-len(paths) // 4)
    places = [i for batch in found for i in batch.places]
    broken = {i: why for batch in found for i, why in batch.broken.items()}
    assert places == sorted(places) and sorted([*places, *broken]) == list(range(len(paths)))
    assert {paths[i].name for i in places} == set(ODD) and {paths[i].name for i in broken} == set(BROKEN)
    images = torch.cat([batch.images for batch in found if batch.images is not None])
    want = torch.stack([PREPROCESSING(read_image(paths[i])) for i in places])
    assert torch.equal(images, want)


def test_a_batch_of_broken_pictures_has_no_images(tmp_path):
    (tmp_path / "zero.png").touch()
    missing = tmp_path / "deleted meanwhile.png"
    (batch,) = all_of([tmp_path / "zero.png", missing])
    assert batch.places == [] and batch.images is None
    assert batch.broken == {0: "the file is empty", 1: "there is no such image"}


def test_the_last_batch_may_be_smaller(tmp_path):
    paths = [paint(tmp_path / f"{i}.png", "red") for i in range(5)]
    assert [len(batch.images) for batch in all_of(paths, batch_size=2)] == [2, 2, 1]
    assert [len(batch.images) for batch in all_of(paths, batch_size=100)] == [5]
    assert all_of([]) == []


def test_more_workers_than_processors_or_batches_are_not_started(tmp_path, monkeypatch):
    paths = [paint(tmp_path / f"{i}.png", "red") for i in range(3)]
    assert len(all_of(paths, num_workers=999)) == 1  # torch would warn, and warnings are errors here
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert len(all_of(paths, batch_size=1, num_workers=2)) == 3


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": -3}, {"num_workers": -1}])
def test_options_that_are_too_small_are_refused(options):
    with pytest.raises(ValueError, match="batch_size must be at least 1 and num_workers at least 0, got"):
        all_of([], **options)
