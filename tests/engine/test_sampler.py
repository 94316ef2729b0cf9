from collections import Counter
from itertools import chain

import pytest

from vig_pyg.engine.sampler import EvalBatches, TrainBatches


def indices(batches):
    return [[index for index, _ in batch] for batch in batches]


def test_an_epoch_has_every_image_once_in_an_order_of_its_own():
    batches = TrainBatches(12, batch_size=4, seed=0)
    first = indices(batches)
    assert len(first) == len(batches) == 3
    assert sorted(list(chain(*first))) == list(range(12))
    batches.set_epoch(1)
    second = indices(batches)
    assert sorted(list(chain(*second))) == list(range(12))
    assert first != second != indices(TrainBatches(12, batch_size=4, seed=1))
    batches.set_epoch(0)
    assert indices(batches) == first


def test_what_does_not_fill_a_batch_is_left_out():
    assert [len(batch) for batch in TrainBatches(11, batch_size=4, seed=0)] == [4, 4]


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(("accumulate", "world"), [(1, 2), (2, 1), (3, 2)])
def test_processes_and_parts_share_the_same_batches_and_seeds(repeats, accumulate, world):
    whole = list(TrainBatches(300, batch_size=12, seed=0, repeats=repeats))
    options = {"batch_size": 12, "seed": 0, "repeats": repeats, "accumulate": accumulate, "world": world}
    parts = [list(TrainBatches(300, rank=rank, **options)) for rank in range(world)]
    assert {len(part) for part in parts} == {len(whole) * accumulate}
    for i, batch in enumerate(whole):
        shares = [part[i * accumulate + j] for part in parts for j in range(accumulate)]
        assert {len(share) for share in shares} == {12 // accumulate // world}
        assert sorted(list(chain(*shares))) == sorted(batch)


def test_repeats_are_near_each_other_and_differ_in_their_seed():
    batches = TrainBatches(300, batch_size=12, seed=0, repeats=3)
    items = list(chain(*batches))
    assert len(items) == len(batches) * 12 == 252  # of 256, as timm rounds an epoch
    counts = Counter(index for index, _ in items)
    assert set(counts.values()) <= {3} | {252 - 3 * (len(counts) - 1)}
    assert len({seed for _, seed in items}) == len(items)


def test_an_epoch_can_be_entered_in_the_middle():
    batches = TrainBatches(12, batch_size=4, seed=0)
    batches.set_epoch(5)
    whole = list(batches)
    batches.seek(5, 2)
    assert list(batches) == whole[2:]
    assert len(batches) == 3
    batches.set_epoch(5)  # as Lightning does when it goes on
    assert list(batches) == whole[2:]
    batches.set_epoch(6)
    assert len(list(batches)) == 3


def test_wrong_batches_are_refused():
    with pytest.raises(ValueError, match="multiple of accumulate=2 times 3 processes"):
        TrainBatches(100, batch_size=8, seed=0, accumulate=2, world=3)
    with pytest.raises(ValueError, match="7 training images are fewer than one batch of 8"):
        TrainBatches(7, batch_size=8, seed=0)


@pytest.mark.parametrize(("count", "world"), [(10, 1), (10, 2), (11, 2), (11, 4), (1, 3)])
def test_evaluation_takes_every_image_once_in_equally_many_batches(count, world):
    shares = [EvalBatches(count, batch_size=2, rank=rank, world=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert len({tuple(len(batch) for batch in share) for share in shares}) == 1
    items = [item for share in shares for batch in share for item in batch]
    assert sorted(item for item in items if item is not None) == list(range(count))
