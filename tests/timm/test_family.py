import sys

import pytest
import timm
import torch

import vig_pyg.timm
from vig_pyg import create_model

NAMES = ["mobilevig_tiny", "greedyvig_small", "mobilevigv2_tiny", "wignet_tiny"]


@pytest.mark.parametrize("name", NAMES)
def test_timm_makes_the_same_network(name):
    ours, theirs = create_model(name, num_classes=7).eval(), timm.create_model(name, num_classes=7).eval()
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), ours(images))
        maps = theirs.forward_features(images)
        assert maps.shape == (2, theirs.num_features, 2, 3)
        torch.testing.assert_close(theirs.forward_head(maps), ours(images))


@pytest.mark.parametrize("name", ["ViG", "PyramidViG", "MobileViG", "GreedyViG", "MobileViGv2", "WiGNet"])
def test_the_default_variant_is_that_of_the_class_without_timm(name):
    with torch.device("meta"):
        ours, theirs = getattr(vig_pyg, name)(), getattr(vig_pyg.timm, f"Timm{name}")()
    assert theirs.config == ours.config


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("indices", [None, (0, 2)])
def test_features_only(name, indices):
    options = {} if indices is None else {"out_indices": indices}
    model = timm.create_model(name, features_only=True, in_chans=1, **options).eval()
    maps = model(torch.rand(1, 1, 64, 64))
    assert [one.shape[1] for one in maps] == model.feature_info.channels()
    assert [64 // one.shape[2] for one in maps] == model.feature_info.reduction()
    assert len(maps) == (4 if indices is None else 2)
    assert not any("head" in key for key in model.state_dict())


@pytest.mark.parametrize("name", NAMES)
def test_a_classifier_is_replaced(name):
    model = (
        timm.create_model(name, num_classes=5, distillation=True) if name != "wignet_tiny" else timm.create_model(name)
    )
    model.reset_classifier(3)
    assert model.eval()(torch.rand(1, 3, 64, 64)).shape == (1, 3)
    model.reset_classifier(0, "")
    assert model(torch.rand(1, 3, 64, 64)).dim() == 4


@pytest.mark.parametrize("name", [*NAMES, "vig_micro", "pvig_micro"])
def test_the_module_of_a_class_has_the_filter_of_checkpoints(name):
    module = sys.modules[type(timm.create_model(name, num_classes=0)).__module__]
    assert callable(module.checkpoint_filter_fn)
