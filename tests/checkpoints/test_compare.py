import json
import random

import pytest

from vig_pyg import DilatedKNN, pvig_micro, vig_micro, vig_tiny
from vig_pyg.checkpoints.compare import compare
from vig_pyg.checkpoints.metadata import describe, to_text
from vig_pyg.graph import WindowGraph
from vig_pyg.models import PyramidViGConfig, ViGConfig

SMALL = {"num_classes": 2, "image_size": 64, "patch_size": 4, "head_channels": 8}
MAKERS = {
    "vig": lambda **options: ViGConfig(depth=6, channels=16, **SMALL | options),
    "pvig": lambda **options: PyramidViGConfig(
        depths=(1, 5), channels=(16, 32), **SMALL | {"reduce_ratios": (2, 1)} | options
    ),
}
#: Values of each option that the outputs depend on and shapes do not tell.
CHOICES = {
    "conv": ["mr", "edge"],
    "graph": [None, "knn", "window", "axial", "log", "grid", "complete", "random"],
    "k": [9, (9, 9), (9, 12), 4, 3],
    "dilation": [True, False],
    "reduce_ratios": [(2, 1), (1, 1), (4, 1)],
    "position": ["official", "grid", None],
    "stochastic": [True, False],
    "drop_path_rate": [0.0, 0.1],
    "knn_engine": ["auto", "dense"],
    "knn_precision": ["highest", "medium"],
}


def drawn(rng, family):
    """A configuration with some options drawn."""
    options = {name: rng.choice(values) for name, values in CHOICES.items() if rng.random() < 0.4}
    if family == "vig":
        options = {name: value for name, value in options.items() if name not in ("reduce_ratios", "position")}
    try:
        return MAKERS[family](**options)
    except ValueError:  # options of the search beside another graph
        return drawn(rng, family)


def function(config):
    """What the outputs depend on, written down a second time."""
    graph = config.graph or "knn"
    ks, dilations = zip(*config.neighbors(), strict=True)
    return (
        config.conv,
        graph,
        ks if graph in ("knn", "window", "random") else None,
        dilations if graph in ("knn", "window") else None,
        getattr(config, "position", None) if graph == "knn" else None,
        getattr(config, "reduce_ratios", None),
    )


@pytest.mark.parametrize("family", MAKERS)
def test_random_pairs_differ_exactly_where_their_functions_do(family):
    rng, counts = random.Random(5), {True: 0, False: 0}
    for _ in range(400):
        one, two = drawn(rng, family), drawn(rng, family)
        if rng.random() < 0.2:
            two = one.override({"drop_path_rate": 0.3, "dropout": 0.5})
        found = compare(json.loads(to_text(one)), two)
        same = function(one) == function(two)
        assert (found.differences == ()) == same, (one, two, found)
        assert found.unknown == () and found.grid_note == ""
        counts[same] += 1
    assert min(counts.values()) > 50, counts


@pytest.mark.parametrize("family", MAKERS)
def test_weights_that_say_nothing_differ_in_nothing_and_all_is_unknown(family):
    found = compare({}, MAKERS[family]())
    more = ("reduce_ratios", "k", "dilation", "position") if family == "pvig" else ("k", "dilation")
    assert found == ((), ("conv", "graph", *more), "")
    assert compare({}, MAKERS[family](graph="axial")).unknown == ("conv", "graph", *more[:-2][: family == "pvig"])


def test_callables_without_a_name_are_unknown_and_those_of_a_script_are_found_again():
    nameless = vig_micro(graph=lambda k, dilation: DilatedKNN(k)).config
    assert compare(describe(nameless), nameless) == ((), ("graph",), "")
    named = vig_micro(graph=WindowGraph).config
    for name, same in [("__main__.WindowGraph", True), ("my.WindowGraph", False), ("__main__.Graph", False)]:
        assert (compare(describe(named) | {"graph": name}, named).differences == ()) == same


def test_a_grid_that_bounds_the_dilation_is_told():
    large, small = vig_tiny().config, vig_tiny(image_size=64).config
    found = compare(describe(large), small)
    assert found.differences == () and found.unknown == ()
    assert (
        "is 1, and was 3 in the training of the weights" in found.grid_note and "=64, which was 224" in found.grid_note
    )
    assert compare(describe(large), vig_tiny(image_size=384).config).grid_note == ""
    assert compare(describe(pvig_micro().config), pvig_micro(image_size=64).config).grid_note == ""


@pytest.mark.parametrize(
    "spoilt",
    [
        {"k": "nine"},
        {"k": [1, 2, 3]},
        {"k": -1},
        {"k": 2.0},
        {"image_size": "x"},
        {"image_size": float("inf")},
        {"k": []},
    ],
)
def test_a_damaged_configuration_is_refused(spoilt):
    config = vig_micro().config
    with pytest.raises(ValueError, match="The configuration recorded with the weights is damaged"):
        compare(describe(config) | spoilt, config)


def test_values_of_other_types_are_differences():
    config = pvig_micro().config
    for name in ("conv", "graph", "position", "reduce_ratios"):
        for value in (3, [], {}, "other"):
            assert [one.field for one in compare(describe(config) | {name: value}, config).differences] == [name]
