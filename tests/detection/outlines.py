"""Outlines as COCO files may have them: good ones in every form, and ones with faults."""

import numpy as np

from vig_pyg.detection.masks import OutlineError, encode_mask, read_outline


def rectangle(rng, size):
    """A rectangle (x1, y1, x2, y2) within an image and its map."""
    height, width = size
    (x1, x2), (y1, y2) = (np.sort(rng.choice(side + 1, 2, replace=False)).tolist() for side in (width, height))
    mask = np.zeros(size, dtype=np.uint8)
    mask[y1:y2, x1:x2] = 1
    return (x1, y1, x2, y2), mask


def run_lengths(mask):
    """COCO's plain run lengths, by their definition."""
    counts, last = [0], 0
    for value in mask.T.ravel().tolist():
        if value != last:
            counts.append(0)
            last = value
        counts[-1] += 1
    return counts


def good_forms(box, mask):
    """The same object in every form that is read."""
    x1, y1, x2, y2 = box
    flat, size, counts = [x1, y1, x2, y1, x2, y2, x1, y2], list(mask.shape), run_lengths(mask)
    pairs = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
    return {
        "polygon": [flat],
        "floats": [[float(value) for value in flat]],
        "texts": [[str(value) for value in flat]],
        "flat": flat,
        "pairs": pairs,
        "polygon of pairs": [pairs],
        "tuples": (tuple(flat),),
        "an array": np.array([flat]),
        "again": [flat, flat],
        "closed": [[*flat, x1, y1]],
        "a polygon of two points beside": [flat, [x1, y1, x2, y2]],
        "an empty polygon beside": [flat, []],
        "a polygon far outside beside": [flat, [1e9, 1e9, 2e9, 1e9, 2e9, 2e9]],
        "counts": {"size": size, "counts": counts},
        "counts in a list": [{"size": size, "counts": counts}],
        "counts as floats": {"size": size, "counts": [float(count) for count in counts]},
        "counts with runs of nothing": {"size": size, "counts": [0, 0, *counts, 0, 0]},
        "counts split in two": {"size": size, "counts": [counts[0] // 2, 0, counts[0] - counts[0] // 2, *counts[1:]]},
        "counts without size": {"counts": counts},
        "text": encode_mask(mask),
        "bytes": {"size": size, "counts": encode_mask(mask)["counts"].encode()},
    }


def beyond(box, mask):
    """Polygons that go on beyond the image at the sides that the rectangle touches."""
    (x1, y1, x2, y2), (height, width) = box, mask.shape
    for far in (5, 2e3, 1e9):
        a, b = (-far if x1 == 0 else x1), (-far if y1 == 0 else y1)
        c, d = (width + far if x2 == width else x2), (height + far if y2 == height else y2)
        yield [[a, b, c, b, c, d, a, d]]


def faults(box, mask, rng):
    """The same object with one fault each, and what is said of it."""
    x1, y1, x2, y2 = box
    flat, size, counts = [x1, y1, x2, y1, x2, y2, x1, y2], list(mask.shape), run_lengths(mask)
    i, packed = int(rng.integers(8)), encode_mask(mask)["counts"]
    for value, words in ((None, "None"), (float("nan"), "finite"), (1e300, "1e"), (True, "True"), ("x", "'x'")):
        yield [[*flat[:i], value, *flat[i + 1 :]]], words
        yield [*flat[:i], value, *flat[i + 1 :]], words
    yield [flat, [*flat[:6], float("-inf"), 1]], "finite"
    yield [flat, None], "None"
    yield [flat, 5], "5"
    yield [flat[:7]], "odd number"
    yield flat[:7], "odd number"
    yield [flat[:4]], "fewer than three points"  # pycocotools would read a box
    yield flat[:4], "fewer than three points"
    yield [[x1, y1], [x2, y2]], "fewer than three points"
    yield [[x1, y1]], "fewer than three points"
    yield [], "fewer than three points"
    yield [[]], "fewer than three points"
    yield [[[x1, y1], [x2, y1, 3], [x2, y2]]], "mixes"
    yield [[-9, -9, -5, -9, -5, -5, -9, -5]], "outside"
    yield [[1e9, 1e9, 2e9, 1e9, 2e9, 2e9]], "outside"
    if max(size) > 6:
        yield [[0, 0, mask.shape[1], mask.shape[0]] * 200_000], "long"
    for value in (None, 7, True, "text", {}, {"size": size}, {"size": size, "counts": None}, [{}, {}]):
        yield value, ""
    for wrong in ([*counts, 1], [*counts[:-1], counts[-1] + 1], counts[:-1], [], [2**40], [mask.size - 1, -1, 2]):
        yield {"size": size, "counts": wrong}, ""
    yield {"size": size, "counts": [counts[0] + 0.5, *counts[1:]]}, "whole"
    yield {"size": size, "counts": [float("nan"), *counts[1:]]}, "whole"
    yield {"size": size, "counts": [None, *counts[1:]]}, "None"
    yield {"size": size, "counts": [mask.size]}, "no pixel"
    for wrong in ([size[0] + 1, size[1]], [size[1] + 7, size[0]], size[:1], [*size, 1], None, 5, ["a", "b"]):
        yield {"size": wrong, "counts": counts}, ""
    if size[0] != size[1]:
        yield {"size": size[::-1], "counts": counts}, "height comes first"
    for wrong in (
        "",
        packed + "\x7f",
        packed + "!",
        packed + "é",
        packed + "P",
        packed[:-1] + "o" * 30 + "0",
        "1" * 99,
    ):
        yield {"size": size, "counts": wrong}, ""


def garbage(rng, depth=0):
    """Anything at all that JSON can hold, more often like an outline."""
    kind = int(rng.integers(12 if depth < 3 else 8))
    if kind < 3:
        return float(rng.choice([0, 1, 2.5, 7, -3, 30, 1e3, 1e9, -1e9, 1e300]))
    if kind < 8:
        other = (None, float("nan"), float("inf"), 2**31, 2**63, True, "7", "abc")
        return other[int(rng.integers(8))] if rng.random() < 0.3 else int(rng.integers(-2, 12))
    if kind == 8:
        text = "".join(map(chr, rng.integers(46, 115, int(rng.integers(9)))))
        counts = text if rng.random() < 0.5 else [garbage(rng, 9) for _ in range(int(rng.integers(7)))]
        return {"size": [int(rng.integers(1, 9)), int(rng.integers(1, 9))], "counts": counts}
    return [garbage(rng, depth + 1) for _ in range(int(rng.integers(10)))]


def call_masks(rng):
    """One random outline through the door to pycocotools.

    Args:
        rng: NumPy's generator.

    Returns:
        `"read"` or `"refused"`; an assertion fails where a map is wrong.
    """
    size = tuple(int(side) for side in rng.integers(1, 12, 2))
    choice = int(rng.integers(4))
    if choice == 3:
        return through_the_door(garbage(rng), size)
    box, mask = rectangle(rng, size)
    if choice == 0:
        forms = list(good_forms(box, mask).values())
        return through_the_door(forms[int(rng.integers(len(forms)))], size, mask)
    if choice == 1:
        return through_the_door(list(beyond(box, mask))[int(rng.integers(3))], size, mask)
    # the border of the long one takes a second
    wrong = [fault for fault, words in faults(box, mask, rng) if words != "long"]
    found = through_the_door(wrong[int(rng.integers(len(wrong)))], size)
    assert found == "refused"
    return found


def through_the_door(segmentation, size, expected=None):
    """Read an outline; its map is one of this image, the same each time, and that which is expected."""
    try:
        outline = read_outline(segmentation, size)
    except OutlineError:
        assert expected is None, segmentation
        return "refused"
    mask = outline.mask()
    assert mask.shape == size
    assert mask.max(initial=0) <= 1
    assert np.array_equal(mask, outline.mask())  # nothing that was in memory before
    assert expected is None or np.array_equal(mask, expected), segmentation
    x1, y1, x2, y2 = outline.box()
    assert 0 <= x1 <= x2 <= size[1]
    assert 0 <= y1 <= y2 <= size[0]
    assert sum(run_lengths(mask)) == mask.size
    return "read"
