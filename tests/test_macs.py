import pytest
import torch

from vig_pyg import create_model
from vig_pyg.macs import count_macs

#: Trainable parameters in millions and GMACs at 224 px of the published code.
PUBLISHED = {
    "vig_tiny": (7.185, 1.301),
    "vig_small": (22.748, 4.517),
    "vig_base": (86.842, 17.643),
    "pvig_tiny": (10.714, 1.700),
    "pvig_small": (27.252, 4.548),
    "pvig_medium": (49.526, 8.845),
    "pvig_base": (92.980, 16.804),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_macs_are_the_published_ones(name):
    parameters, gmacs = PUBLISHED[name]
    model = create_model(name)
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert round(trainable / 1e6, 3) == parameters
    assert trainable == sum(p.numel() for p in model.parameters())
    assert count_macs(model, (224, 224)) / 1e9 == pytest.approx(gmacs, rel=0.01)


def test_counting_twice_gives_the_same_and_leaves_the_mode():
    model = create_model("pvig_micro").train()
    assert count_macs(model, (32, 32)) == count_macs(model, (32, 32))
    assert model.training


def test_an_ffn_counts_as_computed_by_hand():
    wide, narrow = (create_model("vig_micro", ffn_ratio=r, num_classes=0) for r in (4, 2))
    nodes, channels, blocks = 64, 64, 4
    difference = count_macs(wide, (32, 32)) - count_macs(narrow, (32, 32))
    assert difference == blocks * nodes * 2 * channels * (4 - 2) * channels


def test_gray_images():
    assert count_macs(create_model("vig_micro", in_channels=1), (32, 32)) < count_macs(
        create_model("vig_micro"), (32, 32)
    )
    assert torch.is_grad_enabled()
