import random
from dataclasses import asdict, fields

import pytest
import yaml

from tests.mutations import VALUES, mutated
from vig_pyg.classification import PRESETS, ClassificationConfig, load_data, read_yaml, settings, to_yaml
from vig_pyg.classification.config_bounds import SETTINGS
from vig_pyg.engine.config_bounds import RECIPE

BOUNDS = {**RECIPE, **SETTINGS}


def test_every_value_has_bounds():
    assert BOUNDS.keys() | {"options"} == {field.name for field in fields(ClassificationConfig)}
    for preset in PRESETS.values():
        for name, value in asdict(preset).items():
            assert name == "options" or BOUNDS[name](value, name) == value


@pytest.mark.parametrize("name", BOUNDS)
def test_a_value_is_taken_within_its_bounds_or_refused_by_name(name):
    for value in [*VALUES, "nan", "inf", "1e309", "-1", 10**400]:
        try:
            made = settings("digits", ("recipe.yaml", {name: value}))
        except ValueError as error:
            assert name in str(error) and str(error).isprintable() and len(str(error)) < 400
        else:
            if name != "drop_path_rate":
                assert BOUNDS[name](getattr(made, name), name) == getattr(made, name)


def test_a_hostile_recipe_is_refused_by_name_or_makes_settings(tmp_path):
    """300 files of changed values."""
    path, draw, read = tmp_path / "recipe.yaml", random.Random(0), 0
    good = yaml.safe_load(to_yaml(PRESETS["scratch"]))
    for _ in range(300):
        path.write_text(yaml.safe_dump(mutated(good, draw), allow_unicode=True), errors="surrogatepass")
        try:
            made = settings("digits", (str(path), read_yaml(path)))
        except ValueError as error:
            assert str(error).isprintable() and len(str(error)) < 2000
            continue
        read += 1
        path.write_text(to_yaml(made))
        assert settings("digits", (str(path), read_yaml(path))) == made
    assert 20 < read < 200


@pytest.mark.parametrize(
    "data", ["/dev/zero", "/dev/null", "\x1b[2J", "https://example.invalid/x.csv", "/proc/self/mem"]
)
def test_data_of_a_hostile_recipe_is_not_opened_as_what_it_is_not(data):
    with pytest.raises((OSError, ValueError)):
        load_data(settings("scratch", ("recipe.yaml", {"data": data})))
