import pytest

from vig_pyg.engine import TrainConfig


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"lr": 0.0}])
def test_wrong_recipes_are_refused(wrong):
    with pytest.raises(ValueError, match="epochs >= 1 and lr > 0"):
        TrainConfig(**wrong)
