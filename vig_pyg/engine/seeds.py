"""Seeds that depend only on the position in the training, not on earlier random numbers.

Therefore a killed run continues with the same random numbers, and no random state of a process or worker needs to be
saved.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

import numpy as np
import torch


def seed_of(*place: int) -> int:
    """Return the seed of a position such as (seed of the run, epoch, image); adjacent positions have unrelated seeds.

    Example:
        >>> seed_of(0, 1) == seed_of(0, 1), seed_of(0, 1) == seed_of(1, 0)
        (True, False)
    """
    return int.from_bytes(blake2b(repr(place).encode(), digest_size=8).digest(), "big") >> 1


def set_seed(seed: int) -> None:
    """Seed the generators of torch (on all devices), NumPy and Python, which augmentation and dropout use.

    Example:
        >>> set_seed(0); first = torch.rand(1); set_seed(0); bool(torch.rand(1) == first)
        True
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """A context that seeds the CPU generators as `set_seed` does, and then restores their state.

    Example:
        >>> with seeded(0):
        ...     first = torch.rand(1)
        >>> with seeded(0):
        ...     bool(torch.rand(1) == first)
        True
    """
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
