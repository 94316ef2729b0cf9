from dataclasses import asdict, fields, replace

import pytest
import yaml

from vig_pyg.classification import PRESETS, ClassificationConfig, read_yaml, settings, to_yaml
from vig_pyg.classification.load_config import parse_set


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_goes_round(tmp_path, name):
    (tmp_path / "recipe.yaml").write_text(to_yaml(settings(name)))
    values = read_yaml(tmp_path / "recipe.yaml")
    assert list(values) != [] and set(values) == {f.name for f in fields(ClassificationConfig)}
    for base in PRESETS:
        assert settings(base, ("recipe.yaml", values)) == settings(name)


def test_options_of_networks_go_round(tmp_path):
    made = settings("digits", ("here", {"options.depths": "[1, 2]", "options.conv": "gin", "model": "pvig_micro"}))
    assert made.options == {"patch_size": 2, "depths": (1, 2), "conv": "gin"}
    (tmp_path / "recipe.yaml").write_text(to_yaml(made))
    assert settings("scratch", ("file", read_yaml(tmp_path / "recipe.yaml"))) == made


def values_of(name):
    """Values that a field can have: those of the presets, and one that no preset has."""
    found = [asdict(preset)[name] for preset in PRESETS.values()]
    base = asdict(PRESETS["digits"])[name]
    if isinstance(base, bool):
        return [*found, not base]
    if isinstance(base, int | float):
        return [*found, base + 1 if isinstance(base, int) else 0.125 if base < 0.5 else base / 2]
    return [*found, *OTHERS.get(name, [])]


#: Values of text and of what is `None` in all presets.
OTHERS = {
    "precision": ["bf16-mixed"],
    "accelerator": ["cpu"],
    "devices": [2],
    "root": ["elsewhere"],
    "on_broken": ["skip"],
    "keep": ["best"],
    "patience": [3],
    "checkpoint_every": [50],
    "weights": ["imagenet1k"],
    "cache": [64],
    "clip_grad": [5.0],
}


@pytest.mark.parametrize("field", fields(ClassificationConfig), ids=lambda field: field.name)
def test_every_value_can_be_said_as_text(field):
    """What a command line gives is the value itself, of the same type."""
    changed = False
    for value in values_of(field.name):
        text = yaml.safe_dump(value).removesuffix("...\n").strip() if isinstance(value, dict) else str(value).lower()
        said = getattr(settings("digits", ("text", {field.name: text})), field.name)
        meant = getattr(replace(PRESETS["digits"], **{field.name: value}).resolved(), field.name)
        assert (said, type(said)) == (meant, type(meant))
        assert value == "published" or said == value
        changed |= said != getattr(PRESETS["digits"], field.name)
    assert changed  # else leaving the text out of account would pass


def test_the_last_one_wins_and_text_is_converted():
    made = settings(
        "digits", ("file", {"lr": 1, "epochs": "1e2"}), ("line", {"lr": "5e-4", "ema": "null", "flip": "1"})
    )
    assert (made.lr, made.epochs, made.ema, made.flip) == (5e-4, 100, None, 1.0)
    assert isinstance(made.flip, float)
    assert settings("digits", ("line", {"devices": "8"})).devices == 8
    assert settings("digits", ("line", {"devices": "auto"})).devices == "auto"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rat": 1}, "Unknown key 'learning_rat' in file"),
        ({"epoch": 1}, "Unknown key 'epoch' in file: did you mean 'epochs'"),
        ({"zzz": 1}, r"Unknown key 'zzz' in file\. Valid are affine, crop"),
        ({"epochs": "ten"}, "epochs in file must be a whole number, got 'ten'"),
        ({"epochs": 1.5}, "epochs in file must be a whole number, got 1.5"),
        ({"epochs": True}, "epochs in file must be a whole number, got True"),
        ({"lr": None}, "lr in file must be a number, got None"),
        ({"ema": "yes"}, "ema in file must be a number or null, got 'yes'"),
        ({"freeze": 2}, "freeze in file must be true or false, got 2"),
        ({"keep": "first"}, "keep in file must be 'last' or 'best', got 'first'"),
        ({"options": "conv"}, "options of file must be a mapping"),
    ],
)
def test_mistakes_are_named(values, said):
    with pytest.raises(ValueError, match=said):
        settings("digits", ("file", values))


def test_unknown_presets_and_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"Unknown preset 'imgnet': did you mean 'imagenet'\?"):
        settings("imgnet")
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="one value for each key"):
        read_yaml(tmp_path / "list.yaml")
    (tmp_path / "no.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"no\.yaml is not YAML"):
        read_yaml(tmp_path / "no.yaml")
    with pytest.raises(ValueError, match="key=value, got 'lr'"):
        parse_set(["lr"])
    assert parse_set(["a=b=c", "d=1"]) == {"a": "b=c", "d": "1"}
