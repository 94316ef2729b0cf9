import logging

import pytest
import timm
import torch

from tests.common import calibrated
from vig_pyg import create_model
from vig_pyg.timm import checkpoint_filter_fn
from vig_pyg.weights import convert


@pytest.mark.parametrize("wrapper", [None, "state_dict", "module."])
@pytest.mark.parametrize("format", ["native", "official", "mmpretrain"])
@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_every_format_loads(name, format, wrapper):
    own = calibrated(create_model(name, num_classes=5))
    state = convert(own, format)
    if wrapper == "module.":
        state = {f"module.{key}": tensor for key, tensor in state.items()}
    elif wrapper:
        state = {wrapper: state}
    model = timm.create_model(name, num_classes=5).eval()
    model.load_state_dict(checkpoint_filter_fn(state, model))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), own(images))


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_another_grid_and_no_classifier(name, caplog):
    model = timm.create_model(name, num_classes=0, img_size=64)
    with caplog.at_level(logging.WARNING):
        state = checkpoint_filter_fn(create_model(name).state_dict(), model)
    model.load_state_dict(state)
    assert "The position embedding was resized" in caplog.text
    headless = timm.create_model(name, num_classes=0)
    headless.load_state_dict(checkpoint_filter_fn(headless.state_dict(), headless))
