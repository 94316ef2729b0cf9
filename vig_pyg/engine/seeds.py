"""Random numbers that follow from a place in the training, not from what was drawn before.

A run that was killed goes on as if nothing had happened: there is no random state to save, on any process or worker.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch


def seed_of(*place: int) -> int:
    """Derive a seed from a place, such as (seed of the run, epoch, image); neighboring places are unrelated.

    Args:
        place: Integers.

    Returns:
        An integer of 63 bits.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
        (True, False)
    """
    return int.from_bytes(blake2b(repr(place).encode(), digest_size=8).digest(), "big") >> 1


def set_seed(seed: int) -> None:
    """The generators of torch (on all devices), numpy and Python, which augmentation and dropout draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """As `set_seed` within the block, on the CPU; then as it was before."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
