import logging
import re
from collections import Counter

import numpy as np
import pytest

from tests.detection import coco_oddities as odd
from vig_pyg.detection.records import read_outline


def outcome(root, rng, changes, on_bad, caplog):
    """Apply changes, read, and compare with what should come of them."""
    case = odd.make_case(root, rng, count=12)
    for change in changes:
        change(case)
    caplog.clear()
    named = f"{[change.__name__ for change in changes]} {on_bad}"
    if case.refusals or (case.left_out and on_bad == "stop"):
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            odd.read(case, on_bad)
        text = str(caught.value)
        assert case.path.name in text, named
        assert any(re.search(words, text, re.S) for words in case.refusals + case.left_out), (named, text)
        return "refused"
    found, objects = odd.read(case, on_bad)
    assert objects == sorted(case.expected.values()), named
    assert found.class_names == sorted(case.classes, key=["blue", "red", "green"].index), named
    logged = [record.getMessage() for record in caplog.records]
    assert all(any(re.search(words, line) for line in logged) for words in case.left_out), (named, logged)
    check_masks(found)
    return "read, objects left out" if case.left_out else "read"


def check_masks(found):
    """The outlines are those of the boxes, as the scenes have rectangles; a box without its own outline is beyond."""
    for record in found.outlined().records:
        for thing in record.annotations:
            x1, y1, x2, y2 = (round(number) for number in thing.box)
            assert read_outline(thing.segmentation, record.size).mask()[y1:y2, x1:x2].any()


@pytest.mark.parametrize("change", odd.MEANT + odd.UNUSABLE + odd.REFUSED, ids=lambda change: change.__name__)
def test_one_oddity(tmp_path, change, caplog):
    caplog.set_level(logging.WARNING)
    for i, on_bad in enumerate(["drop", "stop"] * 3):
        found = outcome(tmp_path / str(i), np.random.default_rng(i), [change], on_bad, caplog)
        assert (found == "refused") == (change in odd.REFUSED or (change in odd.UNUSABLE and on_bad == "stop"))


def combinations(tmp_path, caplog, count):
    caplog.set_level(logging.WARNING)
    outcomes = Counter()
    for seed in range(count):
        rng = np.random.default_rng(1000 + seed)
        meant = [odd.MEANT[i] for i in rng.permutation(len(odd.MEANT))[: rng.integers(1, 7)]]
        unusable = [odd.UNUSABLE[i] for i in rng.permutation(3)[: rng.integers(0, 3)]]
        refused = [odd.REFUSED[int(rng.integers(len(odd.REFUSED)))]] if rng.random() < 0.25 else []
        changes = [*meant, *unusable, *refused]
        on_bad = "stop" if rng.random() < 0.2 else "drop"
        outcomes[outcome(tmp_path / str(seed), rng, changes, on_bad, caplog)] += 1
    return outcomes


def test_oddities_together(tmp_path, caplog):
    outcomes = combinations(tmp_path, caplog, 60)
    assert len(outcomes) == 3
    assert min(outcomes.values()) > 5


@pytest.mark.slow
def test_many_oddities_together(tmp_path, caplog):
    outcomes = combinations(tmp_path, caplog, 1500)
    assert sum(outcomes.values()) == 1500
    assert min(outcomes.values()) > 100
