from dataclasses import fields

import pytest

from vig_pyg.engine import TrainConfig
from vig_pyg.engine.config_bounds import RECIPE, check_bounds


def test_every_value_has_bounds():
    assert RECIPE.keys() == {field.name for field in fields(TrainConfig)}


def test_what_is_out_of_bounds_is_named():
    check_bounds(TrainConfig(), RECIPE)
    with pytest.raises(ValueError, match="seed"):
        TrainConfig(seed=-1)
