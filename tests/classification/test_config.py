import random
from dataclasses import asdict, fields, replace

import pytest
import yaml

from tests.mutations import VALUES, mutated
from vig_pyg._io.dataclass_schema import checks_of
from vig_pyg.classification import (
    PRESETS,
    Augmentation,
    ClassificationConfig,
    load_config,
    load_data,
    read_yaml,
    to_yaml,
)
from vig_pyg.engine import TrainConfig
from vig_pyg.engine.config_file import from_values, merge_values


@pytest.mark.parametrize(
    ("model", "rate"), [("vig_tiny", 0.1), ("pvig_medium", 0.1), ("vig_base", 0.3), ("pvig_base", 0.3)]
)
def test_the_published_drop_path_goes_by_size(model, rate):
    assert replace(PRESETS["imagenet"], model=model).resolved().drop_path_rate == rate


WRONG = [{"warmup": "1.5"}, {"warmup": "101%"}, {"ema": -0.1}, {"accumulate": 0}, {"patience": 0}, {"mixup": -1.0}]
WRONG += [{"epochs": 0}, {"lr": 0.0}, {"precision": "31-true"}, {"evaluate_every": 0}, {"image_size": 0}]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_values_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        ClassificationConfig(**wrong)


@pytest.mark.parametrize("wrong", [{"crop": 2.0}, {"crop": 0}, {"flip": -1}, {"erasing": 3}, {"color_jitter": "x"}])
def test_wrong_augmentations_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=f"^{next(iter(wrong))} must be"):
        Augmentation(**wrong)


def test_every_value_has_bounds_that_all_presets_keep():
    assert checks_of(ClassificationConfig).keys() == {field.name for field in fields(ClassificationConfig)}
    for preset in PRESETS.values():
        assert (
            from_values(ClassificationConfig, merge_values(ClassificationConfig, {}, ("here", asdict(preset))))
            == preset
        )


NAMES = [f.name for f in fields(ClassificationConfig) if f.name not in {g.name for g in fields(TrainConfig)}]
NAMES += [f"augmentation.{f.name}" for f in fields(Augmentation)]


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_taken_within_its_bounds_or_refused_by_name(name):
    """39 values for each; those that every task has are in tests/engine/test_config_file.py."""
    part, _, inner = name.rpartition(".")
    others = {"teacher": "t", "distillation": "soft"} if name.startswith(("teacher_", "distillation")) else {}
    for value in [*VALUES, "nan", "inf", "1e309", "-1", 10**400]:
        try:
            given = {part: {inner: value}} if part else {name: value}
            made = load_config("digits", ("others", others), ("config.yaml", given))
        except ValueError as error:
            assert str(error).startswith("config.yaml: ")
            assert inner in str(error) and str(error).isprintable() and len(str(error)) < 700
        else:
            assert name in ("options", "augmentation") or getattr(made.augmentation if part else made, inner) == value


def test_a_hostile_file_is_refused_by_name_or_makes_a_configuration(tmp_path):
    """300 files of changed values."""
    path, draw, read = tmp_path / "config.yaml", random.Random(0), 0
    good = yaml.safe_load(to_yaml(PRESETS["scratch"]))
    for _ in range(300):
        path.write_text(yaml.safe_dump(mutated(good, draw), allow_unicode=True), errors="surrogatepass")
        try:
            made = load_config("digits", (str(path), read_yaml(path)))
        except ValueError as error:
            assert str(error).isprintable() and len(str(error)) < 2000
            continue
        read += 1
        path.write_text(to_yaml(made))
        assert load_config("digits", (str(path), read_yaml(path))) == made
    assert 20 < read < 200


@pytest.mark.parametrize(
    "data", ["/dev/zero", "/dev/null", "\x1b[2J", "https://example.invalid/x.csv", "/proc/self/mem"]
)
def test_data_of_a_hostile_file_is_not_opened_as_what_it_is_not(data):
    with pytest.raises((OSError, ValueError)):
        load_data(load_config("scratch", ("config.yaml", {"data": data})))
