from dataclasses import FrozenInstanceError, fields
from functools import partial

import numpy as np
import pytest

from vig_pyg import DilatedKNN, PyramidViG, PyramidViGConfig, ViG, ViGConfig
from vig_pyg.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS
from vig_pyg.testing import assert_every_field_matters

CHANGES = {
    "num_classes": 6,
    "in_channels": 1,
    "image_size": 48,
    "patch_size": 4,
    "k": 4,
    "dilation": False,
    "stochastic": True,
    "epsilon": 0.0,
    "knn_engine": "torch_cluster",
    "knn_precision": "medium",
    "conv": "gin",
    "graph": lambda k, dilation: DilatedKNN(1),
    "heads": 2,
    "ffn_ratio": 2,
    "head_channels": 32,
    "drop_path_rate": 0.7,
    "dropout": 0.5,
}
SHARED = {"num_classes": 5, "image_size": 32, "k": 3, "epsilon": 1.0, "head_channels": 64}
VIG = ViGConfig(depth=5, channels=16, patch_size=8, **SHARED)
PYRAMID = PyramidViGConfig(depths=(1, 4), channels=(16, 32), reduce_ratios=(2, 1), patch_size=2, **SHARED)
GIVEN = {"epsilon": {"stochastic": True}, "graph": {"epsilon": 0.2}}
#: Fields that must not touch anything else.
ONLY = {
    "epsilon": ["training"],
    "stochastic": ["training"],
    "drop_path_rate": ["training"],
    "dropout": ["training"],
    "knn_engine": ["steps"],
    "knn_precision": ["steps"],
}
CASES = {
    "ViG": (ViG, VIG, {"depth": 4, "channels": 32}),
    "PyramidViG": (
        PyramidViG,
        PYRAMID,
        {"depths": (1, 3), "channels": (16, 48), "reduce_ratios": (1, 1), "position": "grid"},
    ),
}


@pytest.mark.parametrize("family", CASES)
def test_every_field_matters(family):
    make, config, own = CASES[family]
    found = assert_every_field_matters(make, config, CHANGES | own, given=GIVEN)
    assert {name: traits for name, traits in found.items() if name in ONLY} == ONLY
    assert "graphs" in found["dilation"] and "graphs" in found["k"] and "graphs" in found["graph"]
    for name in ("num_classes", "in_channels", "image_size", "patch_size", "heads", "ffn_ratio", "head_channels"):
        assert "parameters" in found[name]


def test_published_numbers_of_vig():
    table = {name: (c.depth, c.channels) for name, c in VIG_VARIANTS.items() if name != "micro"}
    assert table == {"tiny": (12, 192), "small": (16, 320), "base": (16, 640)}
    ks, dilations = zip(*VIG_VARIANTS["tiny"].neighbors(), strict=True)
    assert ks == (9, 9, 10, 11, 12, 13, 13, 14, 15, 16, 17, 18)
    assert dilations == (1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3)
    assert VIG_VARIANTS["small"].neighbors()[-1] == (18, 4)


def test_published_numbers_of_pyramid_vig():
    table = {name: (c.depths, c.channels) for name, c in PYRAMID_VIG_VARIANTS.items() if name != "micro"}
    assert table == {
        "tiny": ((2, 2, 6, 2), (48, 96, 240, 384)),
        "small": ((2, 2, 6, 2), (80, 160, 400, 640)),
        "medium": ((2, 2, 16, 2), (96, 192, 384, 768)),
        "base": ((2, 2, 18, 2), (128, 256, 512, 1024)),
    }
    for config in PYRAMID_VIG_VARIANTS.values():
        assert config.reduce_ratios == (4, 2, 1, 1)
    base = PYRAMID_VIG_VARIANTS["base"].neighbors()
    assert base == [(9, min(i // 4 + 1, 5)) for i in range(24)]


def test_published_options_of_all():
    for config in [*VIG_VARIANTS.values(), *PYRAMID_VIG_VARIANTS.values()]:
        assert (config.heads, config.ffn_ratio, config.conv, config.epsilon) == (4, 4, "mr", 0.2)
        assert config.stochastic is False and config.drop_path_rate == 0


def test_dilation_off_is_one_everywhere():
    assert {d for _, d in ViGConfig(depth=12, channels=8, dilation=False).neighbors()} == {1}


def test_drop_path_rises_from_zero_to_its_rate():
    assert ViGConfig(depth=5, channels=8, drop_path_rate=0.4).drop_paths() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert ViGConfig(depth=1, channels=8, drop_path_rate=0.4).drop_paths() == [0]


def test_configuration_is_frozen_and_keyword_only():
    with pytest.raises(FrozenInstanceError):
        VIG.k = 4
    with pytest.raises(TypeError):
        ViGConfig(12, 192)
    assert all(f.kw_only for f in fields(PyramidViGConfig))


def test_override_is_a_copy():
    assert VIG.override({"k": 4}).k == 4
    assert VIG.k == 3


def test_an_unknown_option_names_the_nearest_one_first():
    told = r"ViGConfig has no option 'num_clases'\. Did you mean 'num_classes'\? Choose from num_classes, in_channels"
    with pytest.raises(TypeError, match=told):
        ViG("micro", num_clases=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": (9, -1)}, r"k must be at least 1, got \(9, -1\)"),
        ({"in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"patch_size": 0}, "patch_size must be at least 1, got 0"),
        ({"patch_size": 6}, "patch_size must be a power of two"),
        ({"heads": 0}, "heads must be at least 1"),
        ({"heads": 3}, "heads=3 must divide"),
        ({"num_classes": -1}, r"num_classes must be 0 \(pooled features\) or more, got -1"),
        ({"knn_engine": "faiss"}, "Unknown knn_engine 'faiss': choose one of auto, dense, torch_cluster"),
        ({"knn_precision": "tf32"}, "Unknown knn_precision 'tf32': choose one of highest, high, medium"),
        ({"drop_path_rate": 1.0}, r"probability in \[0, 1\)"),
        ({"epsilon": 2.0}, "probability between 0 and 1"),
        ({"graph": DilatedKNN, "knn_engine": "dense"}, "knn_engine='dense' is an option of DilatedKNN"),
        ({"graph": DilatedKNN, "knn_precision": "high"}, "knn_precision='high' is an option of DilatedKNN"),
        ({"graph": DilatedKNN, "stochastic": True}, "has no effect with graph="),
    ],
)
@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_bad_options_are_refused(family, options, message):
    with pytest.raises(ValueError, match=message):
        family("micro", **options)


def test_bad_options_of_the_pyramid_are_refused():
    with pytest.raises(ValueError, match="need one entry for each stage"):
        PyramidViG("micro", depths=(1, 1))
    with pytest.raises(ValueError, match="Unknown position mode 'learned'"):
        PyramidViG("micro", position="learned")
    with pytest.raises(ValueError, match="position=None is an option of DilatedKNN"):
        PyramidViG("micro", position=None, graph=DilatedKNN)


WHOLE = ("num_classes", "in_channels", "image_size", "patch_size", "k", "heads", "ffn_ratio", "head_channels")


@pytest.mark.parametrize("value", ["5", 2.5, True, None, 1 + 2j, b"3"])
@pytest.mark.parametrize("name", [*WHOLE, "depth", "channels", "depths", "reduce_ratios"])
def test_whole_numbers_are_nothing_else(name, value):
    for family, config, _ in CASES.values():
        own = getattr(config, name, None)
        for given in (value, (value, *own[1:])) if isinstance(own, tuple) else (value,):
            if own is not None:
                with pytest.raises((TypeError, ValueError), match=name):
                    config.override({name: given})
                with pytest.raises((TypeError, ValueError), match=name):
                    family(config, **{name: given})


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_of_numpy_are_stored_as_pythons(name):
    config = VIG.override({name: np.int64(getattr(VIG, name))})
    assert config == VIG and type(getattr(config, name)) is int
    assert PYRAMID.override({"depths": (np.int32(1), 4)}) == PYRAMID


@pytest.mark.parametrize("make", [partial(ViGConfig, depth=2, channels=48), PYRAMID_VIG_VARIANTS["micro"].override])
def test_probabilities_are_checked_under_their_own_names(make):
    create = make if isinstance(make, partial) else lambda **options: make(options)
    for value in (-0.1, 1, 2, float("nan"), "0.1", None):
        with pytest.raises(ValueError, match=r"drop_path_rate must be a probability in \[0, 1\), got"):
            create(drop_path_rate=value)
    for value in (-0.1, 1.1, True):
        with pytest.raises(ValueError, match=r"dropout must be a probability in \[0, 1\], got"):
            create(dropout=value)
    assert create(dropout=1, drop_path_rate=0.5).dropout == 1
    for value in (np.float32(0.5), np.float64(0.5), np.int64(0)):
        config = create(drop_path_rate=value, dropout=value)
        assert config == create(drop_path_rate=float(value), dropout=float(value))
        assert type(config.drop_path_rate) is type(config.dropout) is float
