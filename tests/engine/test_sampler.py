import random
from collections import Counter
from itertools import chain, pairwise

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
    with pytest.raises(
        ValueError, match=r"7 training images are fewer than one batch of 8: .* such as (\d+) \(--batch-size \1\)\."
    ):
        TrainBatches(7, batch_size=8, seed=0)


@pytest.mark.parametrize(("count", "world"), [(10, 1), (10, 2), (11, 2), (11, 4), (1, 3)])
def test_evaluation_takes_every_image_once_in_equally_many_batches(count, world):
    shares = [EvalBatches(count, batch_size=2, rank=rank, world=world) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    assert len({tuple(len(batch) for batch in share) for share in shares}) == 1
    items = [item for share in shares for batch in share for item in batch]
    assert sorted(item for item in items if item is not None) == list(range(count))


def random_groups(seed):
    """A number of images, their groups in random proportions, and a division of a batch, as a seed draws them."""
    draw = random.Random(seed)
    world, accumulate = draw.choice([1, 2, 3]), draw.choice([1, 2])
    size = world * accumulate * draw.choice([1, 2, 3])
    count = draw.randint(size, 90)
    weights = [draw.random() for _ in range(draw.choice([1, 2, 3]))]
    groups = [draw.choices(range(len(weights)), weights)[0] for _ in range(count)]
    return count, groups, {"batch_size": size, "accumulate": accumulate, "world": world}


@pytest.mark.parametrize("seed", range(40))
def test_grouped_batches_have_one_group_each_and_use_every_image_once(seed):
    count, groups, division = random_groups(seed)
    size = division["batch_size"]
    plain, found = (TrainBatches(count, batch_size=size, seed=seed, groups=g) for g in (None, groups))
    for epoch in range(2):
        plain.set_epoch(epoch)
        found.set_epoch(epoch)
        batches = indices(found)
        assert len(batches) == len(plain) == len(found) == count // size
        used = list(chain(*batches))
        assert len(set(used)) == len(used) and set(used) <= set(range(count))
        mixed = [i for i, batch in enumerate(batches) if len({groups[index] for index in batch}) > 1]
        assert len(mixed) < len(set(groups))
        assert mixed == sorted(mixed) and (not mixed or mixed[-1] == len(batches) - 1)
        left = Counter(groups[i] for i in set(range(count)) - set(used))
        assert sum(left.values()) < size


@pytest.mark.parametrize("seed", range(20))
def test_grouped_batches_are_the_same_for_any_number_of_processes_and_after_a_stop(seed):
    count, groups, division = random_groups(seed)
    options = {"seed": seed, "groups": groups, "batch_size": division["batch_size"]}
    whole = list(TrainBatches(count, **options))
    ranks = [TrainBatches(count, **{**options, **division}, rank=rank) for rank in range(division["world"])]
    parts = [list(rank) for rank in ranks]
    for i, batch in enumerate(whole):
        steps = range(i * division["accumulate"], (i + 1) * division["accumulate"])
        assert sorted(chain(*[part[step] for part in parts for step in steps])) == sorted(batch)
    stop = random.Random(seed).randint(0, len(parts[0]))
    for rank, part in zip(ranks, parts, strict=True):
        rank.seek(0, stop)
        assert list(rank) == part[stop:]


def test_groups_stay_mixed_over_an_epoch_and_repeats_keep_them():
    groups = [i % 2 for i in range(200)]
    kinds = [groups[batch[0]] for batch in indices(TrainBatches(200, batch_size=4, seed=0, groups=groups))]
    changes = sum(a != b for a, b in pairwise(kinds))
    assert 10 < changes < 40
    repeated = indices(TrainBatches(200, batch_size=4, seed=0, groups=groups, repeats=3))
    assert sum(len({groups[i] for i in batch}) > 1 for batch in repeated) <= 1
    with pytest.raises(ValueError, match="one group for each of 5 images, got 4"):
        TrainBatches(5, batch_size=2, seed=0, groups=[0, 1, 0, 1])
