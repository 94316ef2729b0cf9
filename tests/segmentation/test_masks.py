import tracemalloc

import numpy as np
import pytest
from PIL import Image

from vig_pyg.detection.masks import read_outline
from vig_pyg.image_io import UnreadableImageError
from vig_pyg.segmentation.masks import IndexMask, OutlineMask, PanopticMask

RNG = np.random.default_rng(0)


def saved(path, numbers):
    Image.fromarray(numbers).save(path)
    return path


@pytest.mark.parametrize("seed", range(5))
def test_tables_apply_one_after_the_other(tmp_path, seed):
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, 6, (9, 7), dtype=np.uint8)
    first = tuple(int(i) for i in rng.choice([0, 1, 2, 255], 6))
    second = tuple(int(i) for i in rng.permutation(3) + 4)
    mask = IndexMask(saved(tmp_path / "a.png", numbers), first)
    assert np.array_equal(mask.read(), np.array(first)[numbers])
    want = np.array([*second, *[255] * 253])[np.array(first)[numbers]]
    assert np.array_equal(mask.with_table(second).read(), want)


def test_numbers_without_a_class_are_refused(tmp_path):
    path = saved(tmp_path / "a.png", np.array([[0, 9]], dtype=np.uint8))
    with pytest.raises(
        UnreadableImageError, match=r"pixels with the value 9, which is not a number of this data set \(0 to 2\)"
    ):
        IndexMask(path, (0, 1, 2)).read()
    with pytest.raises(
        UnreadableImageError, match=r"pixels with the value 9, which is not a class of this data set \(0 to 1\)"
    ):
        IndexMask(path).with_table([5, 6]).read()
    wide = saved(tmp_path / "b.png", np.array([[0, 300]], dtype=np.uint16))
    with pytest.raises(UnreadableImageError, match="pixels with the value 300"):
        IndexMask(wide, (0, 1, 2)).read()


def test_segments_with_large_numbers(tmp_path):
    ids = RNG.choice([0, 1, 70_000, 16_777_215], (8, 9))
    color = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    mask = PanopticMask(saved(tmp_path / "a.png", color), {1: 4, 70_000: 255, 16_777_215: 0})
    want = np.select([ids == 1, ids == 16_777_215], [4, 0], 255)
    assert np.array_equal(mask.read(), want)
    assert np.array_equal(mask.with_table([7, 1, 2, 3, 8]).read(), np.select([want == 4, want == 0], [8, 7], 255))


@pytest.mark.parametrize("seed", range(5))
def test_of_two_objects_the_smaller_one_is_seen(tmp_path, seed):
    rng = np.random.default_rng(seed)
    outlines, want = [], np.zeros((20, 30), dtype=int)
    for label in range(1, 5):
        x, y, w, h = (
            int(v) for v in (rng.integers(0, 15), rng.integers(0, 10), rng.integers(2, 15), rng.integers(2, 10))
        )
        outlines.append(([[x, y, x + w, y, x + w, y + h, x, y + h]], label, (x, y, w, h)))
    for _, label, (x, y, w, h) in sorted(outlines, key=lambda one: -one[2][2] * one[2][3]):
        want[y : y + h, x : x + w] = label
    if len({one[2][2] * one[2][3] for one in outlines}) < 4:
        return  # which of two equal ones is in front is not defined
    mask = OutlineMask(tmp_path / "a.png", (20, 30), [(outline, label) for outline, label, _ in outlines])
    assert np.array_equal(mask.read(), want)
    assert np.array_equal(mask.with_table([4, 3, 2, 1, 0]).read(), 4 - want)


@pytest.mark.parametrize("seed", range(8))
def test_masks_of_every_kind_can_be_renumbered_many_times(tmp_path, seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, 3, 255], (6, 8)).astype(np.uint8)
    path = saved(tmp_path / "a.png", labels)
    numbered = np.stack([np.where(labels == 255, 0, labels + 1), 0 * labels, 0 * labels], -1).astype(np.uint8)
    segments = PanopticMask(saved(tmp_path / "b.png", numbered), {i + 1: i for i in range(4)})
    bands = [([0, 2 * i, 8, 2 * i, 8, 2 * i + 2, 0, 2 * i + 2], i + 1) for i in range(3)]
    shifted = tuple(int(i) for i in rng.permutation(4))
    masks = [IndexMask(path), IndexMask(path, tuple(range(4)) + (255,) * 252), segments]
    masks += [OutlineMask(path, (8, 8), bands), IndexMask(path).with_table(shifted)]
    for mask in masks:
        want = mask.read().astype(int)
        for size in (4, 7, 9):  # of each table, the classes of the next
            table = [int(i) for i in rng.permutation(size)] + [255] * (size == 7)
            before, mask = mask, mask.with_table(table)
            full = np.array([*table, *[255] * (256 - len(table))])
            want = full[want]
            assert np.array_equal(mask.read(), want), (before, table)


def boxes(rng, count, size):
    """Random outlines of boxes with labels from 1 to 9, or 255 for crowds."""
    for _ in range(count):
        x, y = int(rng.integers(0, size[1] - 2)), int(rng.integers(0, size[0] - 2))
        right, bottom = int(rng.integers(x + 1, size[1])), int(rng.integers(y + 1, size[0]))
        yield [[x, y, right, y, right, bottom, x, bottom]], int(rng.choice([*range(1, 10), 255]))


@pytest.mark.parametrize("seed", range(10))
def test_objects_are_painted_as_if_all_masks_were_known(tmp_path, seed):
    """Crowds first, then by area; of two equal ones, the later one is in front."""
    rng, size = np.random.default_rng(seed), (25, 31)
    outlines = [*boxes(rng, int(rng.integers(0, 40)), size)]
    whole = [(read_outline(outline, size).mask() != 0, label) for outline, label in outlines]
    want = np.zeros(size, dtype=np.uint8)
    for mask, label in sorted(whole, key=lambda pair: (pair[1] != 255, -int(pair[0].sum()))):
        want[mask] = label
    assert np.array_equal(OutlineMask(tmp_path / "a.jpg", size, outlines).read(), want)


def test_the_memory_of_a_mask_does_not_grow_with_its_objects(tmp_path):
    rng, size, peaks = np.random.default_rng(0), (300, 400), []
    for count in (5, 200):
        mask = OutlineMask(tmp_path / "a.jpg", size, [*boxes(rng, count, size)])
        mask.read()
        tracemalloc.start()
        mask.read()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert size[0] * size[1] < peaks[0] and peaks[1] < peaks[0] + 3 * size[0] * size[1]
