import random

import numpy as np
import torch

from vig_pyg.engine.seeds import seed_of, seeded, set_seed


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_places_have_their_own_seeds():
    places = [(seed, epoch, image) for seed in range(4) for epoch in range(4) for image in range(20)]
    seeds = {seed_of(*place) for place in places}
    assert len(seeds) == len(places)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seed_of(1, 23) != seed_of(12, 3)


def test_a_seed_settles_all_three_generators_and_leaves_no_trace():
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with seeded(5):
        first = draw()
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before
    with seeded(5):
        assert draw() == first
    with seeded(6):
        assert all(a != b for a, b in zip(draw(), first, strict=True))
    set_seed(5)
    assert draw() == first
