import pytest
import torch

from tests.classification.job import NETWORK, few_digits
from vig_pyg.classification import make_model


def test_a_network_fits_its_data_and_has_the_weights_of_its_seed():
    data = few_digits()
    first, again, other = (make_model("vig_micro", NETWORK, data, seed=seed) for seed in (0, 0, 1))
    assert (first.config.num_classes, first.config.in_channels, first.config.image_size) == (10, 1, 16)
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.fc2.weight, other.head.fc2.weight)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"depths": (1, 2)}, TypeError, "no option"),
        ({"k": "x"}, ValueError, "k must be"),
        ({"depth": 10**9}, ValueError, "depth"),
    ],
)
def test_options_are_checked_before_anything_is_built(options, error, said):
    with pytest.raises(error, match=said):
        make_model("vig_micro", options, few_digits(), seed=0)


def test_more_neighbors_than_patches_are_told(caplog):
    make_model("vig_micro", {**NETWORK, "k": 20}, few_digits(), seed=0)
    assert "fewer than the k=20 neighbors" in caplog.text
