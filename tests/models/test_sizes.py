"""The seven published models at many sizes, in both position modes of the pyramids."""

from functools import partial

import pytest
import torch

from tests.common import calibrated
from vig_pyg import create_model

SIZES = [(128, 128), (160, 224), (224, 224), (320, 320), (512, 384)]
SMALLEST = ["vig_tiny", "pvig_tiny"]
ALL = [*SMALLEST, "vig_small", "vig_base", "pvig_small", "pvig_medium", "pvig_base"]
PYRAMIDS = [name for name in ALL if name.startswith("pvig")]


def slow_but(cheap, cases):
    return [case if case in cheap else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


MODELS = [(name, mode) for name in ALL for mode in (["official", "grid"] if name in PYRAMIDS else [None])]
RUNS = [(name, mode, size) for name, mode in MODELS for size in SIZES]
CHEAP = [(name, mode, size) for name, mode, size in RUNS if name in SMALLEST and size in SIZES[:2]]


@pytest.fixture(scope="module")
def make():
    """Each model is made once; its runs come one after another."""
    made = {}

    def maker(name, mode):
        if (name, mode) not in made:
            made.clear()
            torch.manual_seed(0)
            made[name, mode] = calibrated(create_model(name, **{} if mode is None else {"position": mode}), (64, 64))
        return made[name, mode]

    return maker


@pytest.mark.parametrize(("name", "mode", "size"), slow_but(CHEAP, RUNS))
def test_every_size_gives_finite_logits_and_maps_of_its_grid(make, name, mode, size):
    model = make(name, mode)
    maps = []
    handle = model.stem.register_forward_hook(lambda module, args, out: maps.append(out.shape[2:]))
    with torch.no_grad():
        logits = model(torch.rand(1, 3, *size))
    handle.remove()
    assert logits.shape == (1, 1000) and logits.isfinite().all()
    assert maps == [tuple(-(-side // model.config.patch_size) for side in size)]


def edges_on_the_way(model, other, images):
    """For each Grapher the pooling of its sources and the edges of both models' builders, from the same features."""
    found = []

    def look(reduce_ratio, twin, builder, inputs, edges):
        found.append((reduce_ratio, edges, twin(*inputs)))

    handles = [
        one.graph.register_forward_hook(partial(look, one.reduce_ratio, two.graph))
        for one, two in zip(model.graphers(), other.graphers(), strict=True)
    ]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    assert len(found) == len(handles) == sum(model.config.depths)
    return found


@pytest.mark.parametrize(
    ("name", "size"), slow_but([("pvig_tiny", (224, 224))], [(n, s) for n in PYRAMIDS for s in SIZES[:3]])
)
def test_the_modes_differ_only_where_sources_are_pooled(make, name, size):
    model = make(name, "official")
    other = create_model(name, position="grid")
    for reduce_ratio, one, two in edges_on_the_way(model, other, torch.rand(1, 3, *size)):
        assert one.shape == two.shape
        assert torch.equal(one, two) == (reduce_ratio == 1)


def test_without_pooled_sources_both_modes_are_one_model():
    one, two = (create_model("pvig_micro", position=mode, reduce_ratios=(1, 1, 1, 1)) for mode in ("official", "grid"))
    two.load_state_dict(calibrated(one).state_dict())
    images = torch.rand(2, 3, 64, 48)
    with torch.no_grad():
        assert torch.equal(one(images), two.eval()(images))
