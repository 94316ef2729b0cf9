import ast
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from tests.detection.outlines import beyond, call_masks, faults, good_forms, rectangle, run_lengths, through_the_door
from vig_pyg.detection.masks import OutlineError, encode_mask, read_outline

PACKAGE = Path(__file__).parents[2] / "vig_pyg"


@pytest.mark.parametrize("seed", range(20))
def test_every_form_of_an_outline_is_the_same_object(seed):
    rng = np.random.default_rng(seed)
    size = tuple(int(side) for side in rng.integers(2, 30, 2))
    box, mask = rectangle(rng, size)
    for name, form in good_forms(box, mask).items():
        assert np.array_equal(read_outline(form, size).mask(), mask), name
        assert read_outline(form, size).box() == pytest.approx(box), name
        assert read_outline(form, size).area() == mask.sum(), name
    for form in beyond(box, mask):
        assert np.array_equal(read_outline(form, size).mask(), mask), form
        assert read_outline(form, size).box() == pytest.approx(box)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_no_outline_is_refused_with_a_reason(seed):
    rng = np.random.default_rng(seed)
    size = (7, 9) if seed else (1, 1)
    box, mask = rectangle(rng, size)
    count = 0
    for fault, words in faults(box, mask, rng):
        with pytest.raises(OutlineError) as caught:
            read_outline(fault, size)
        assert words in str(caught.value)
        assert len(str(caught.value)) < 200
        count += 1
    assert count > 50


def test_random_outlines_are_read_right_or_refused():
    rng = np.random.default_rng(0)
    outcomes = Counter(call_masks(rng) for _ in range(2000))
    assert min(outcomes["read"], outcomes["refused"]) > 500


@pytest.mark.slow
def test_many_random_outlines():
    rng = np.random.default_rng(1)
    outcomes = Counter(call_masks(rng) for _ in range(100_000))
    assert min(outcomes["read"], outcomes["refused"]) > 10_000


def test_polygons_near_the_image_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(200):
        size = tuple(int(side) for side in rng.integers(5, 40, 2))
        points = rng.normal(size[0] / 2, size[0], 2 * int(rng.integers(3, 9))).tolist()
        expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects([points], *size)))
        if expected.any():
            assert np.array_equal(read_outline([points], size).mask(), expected)


def test_slanted_lines_keep_their_slope_where_they_are_cut():
    near = read_outline([[-100, -100, 200, 200, -100, 200]], (40, 60)).mask()
    far = read_outline([[-1e6, -1e6, 1e6, 1e6, -1e6, 1e6]], (40, 60)).mask()
    assert 0 < near.sum() < near.size
    assert np.array_equal(near, far)


def test_compressed_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = tuple(int(side) for side in rng.integers(1, 60, 2))
        mask = (rng.random(size) < rng.random()).astype(np.uint8)
        packed = encode_mask(mask)
        assert packed == {"size": list(size), "counts": coco_mask.encode(np.asfortranarray(mask))["counts"].decode()}
        if mask.any():
            outline = read_outline(packed, size)
            assert outline.counts.tolist() == run_lengths(mask)
            assert outline.encoded()["counts"].decode() == packed["counts"]
            assert np.array_equal(outline.mask(), mask)


def test_an_outline_that_was_read_is_an_outline_of_its_image():
    outline = read_outline([0, 0, 3, 0, 3, 3], (4, 5))
    assert read_outline(outline, (4, 5)) is outline
    with pytest.raises(OutlineError, match="size"):
        read_outline(outline, (5, 4))
    for size in ((0, 4), (4, -1), (2**20, 2**20)):
        with pytest.raises(OutlineError, match="pixels"):
            read_outline([0, 0, 3, 0, 3, 3], size)
    assert through_the_door([0, 0, 3, 0, 3, 3], (4, 5)) == "read"


@pytest.mark.parametrize("shape", [(3,), (0, 4), (1, 2, 3)])
def test_what_is_no_map_is_not_encoded(shape):
    with pytest.raises(OutlineError, match="map"):
        encode_mask(np.zeros(shape))


def test_there_is_no_other_door_to_native_code():
    users = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            whole = [f"{node.module}.{name}" for name in names] if isinstance(node, ast.ImportFrom) else names
            users |= {(path.name, name) for name in whole if name.startswith("pycocotools")}
    assert users == {
        ("masks.py", "pycocotools.mask"),
        ("coco_evaluator.py", "pycocotools.coco.COCO"),
        ("coco_evaluator.py", "pycocotools.cocoeval.COCOeval"),
    }
