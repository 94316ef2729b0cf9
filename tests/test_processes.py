"""Pairs of processes that train, as tests start them."""

import time
from types import SimpleNamespace

import pytest

from tests.processes import forked


def failing_in_second():
    """A program whose first process waits for the second, which fails."""
    import os

    if os.environ["RANK"] == "1":
        raise SystemExit(3)
    time.sleep(300)


def rank_and_world():
    import os

    return {name: int(os.environ[name]) for name in ("RANK", "WORLD_SIZE")}


def test_a_process_that_fails_ends_the_other_one():
    start = time.monotonic()
    with pytest.raises(AssertionError, match=r"\[None, 3\]"):
        forked(SimpleNamespace(run=failing_in_second))
    assert time.monotonic() - start < 120


def test_the_first_process_returns_its_values():
    assert forked(SimpleNamespace(run=rank_and_world)) == {"RANK": 0, "WORLD_SIZE": 2}
