import pytest

from vig_pyg import list_models
from vig_pyg.config import MODELS
from vig_pyg.family_config import (
    GREEDYVIG_VARIANTS,
    MOBILEVIG_VARIANTS,
    MOBILEVIGV2_VARIANTS,
    GreedyViGConfig,
    HybridViGConfig,
)

VARIANTS = {
    "mobilevig": MOBILEVIG_VARIANTS,
    "greedyvig": GREEDYVIG_VARIANTS,
    "mobilevigv2": MOBILEVIGV2_VARIANTS,
}


@pytest.mark.parametrize("family", VARIANTS)
def test_variants_are_registered(family):
    assert list_models(f"{family}_*") == [f"{family}_{name}" for name in VARIANTS[family]]
    assert all(MODELS[f"{family}_{name}"] is config for name, config in VARIANTS[family].items())


@pytest.mark.parametrize(
    ("name", "blocks", "last"),
    [("mobilevig_tiny", 12, 0.1), ("greedyvig_base", 38, 0.1), ("mobilevigv2_base", 27, 0.1 * 8 / 26)],
)
def test_depths_and_drop_paths(name, blocks, last):
    config = MODELS[name]
    rates = config.drop_paths()
    assert config.num_blocks == len(rates) == blocks
    assert rates[0] == 0 and rates[-1] == pytest.approx(last) and rates == sorted(rates)


def test_each_graph_block_has_the_hop_of_its_stage():
    config = GREEDYVIG_VARIANTS["small"]
    assert config.neighbors() == [(9, 8), (9, 8), (9, 4), (9, 4), (9, 2), (9, 2), (9, 1), (9, 1)]
    assert {hop for _, hop in config.override({"dilation": False}).neighbors()} == {1}


@pytest.mark.parametrize(
    "change", [{"hops": (1, 2)}, {"channels": ()}, {"hops": (0, 1, 1, 1)}, {"conv_ratio": 0}, {"position_kernel": -1}]
)
def test_impossible_options_are_refused(change):
    with pytest.raises(ValueError, match=r"one entry for each stage|must be at least 1"):
        GREEDYVIG_VARIANTS["small"].override(change)


def test_every_family_has_the_options_of_the_base():
    assert issubclass(GreedyViGConfig, HybridViGConfig)
    assert all(isinstance(MODELS[name], HybridViGConfig) for name in list_models("*vig*_*") if "greedy" in name)
