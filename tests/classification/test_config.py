from dataclasses import fields, replace

import pytest

from vig_pyg.builders import create_model, list_models
from vig_pyg.classification import PRESETS, Augmentation, ClassificationConfig, settings
from vig_pyg.config import variant_config, variant_name
from vig_pyg.config_schema import options_of


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_network_and_an_augmentation(name):
    preset = PRESETS[name].resolved()
    options = {"num_classes": 10, "image_size": preset.image_size, "drop_path_rate": preset.drop_path_rate}
    assert create_model(preset.model, **preset.options, **options).config.drop_path_rate == preset.drop_path_rate
    assert preset.augmentation.crop == preset.crop
    assert {f.name for f in fields(Augmentation)} <= {f.name for f in fields(ClassificationConfig)}


def test_imagenet_is_the_published_recipe():
    """Vision GNN, arXiv 2206.00272, table 3 and the published command."""
    recipe = PRESETS["imagenet"]
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.eps) == (
        300,
        1024,
        2e-3,
        0.05,
        1e-8,
    )
    assert recipe.warmup * recipe.epochs == pytest.approx(20)
    assert recipe.warmup_lr == 1e-6
    assert recipe.randaugment == "rand-m9-mstd0.5-inc1"
    assert (recipe.mixup, recipe.cutmix, recipe.erasing, recipe.color_jitter) == (0.8, 1.0, 0.25, 0.4)
    assert (recipe.label_smoothing, recipe.ema, recipe.repeats) == (0.1, 0.99996, 3)
    assert "mixed" in recipe.precision


@pytest.mark.parametrize(
    ("model", "rate"), [("vig_tiny", 0.1), ("pvig_medium", 0.1), ("vig_base", 0.3), ("pvig_base", 0.3)]
)
def test_the_published_drop_path_goes_by_size(model, rate):
    assert replace(PRESETS["imagenet"], model=model).resolved().drop_path_rate == rate


@pytest.mark.parametrize(
    "wrong", [{"warmup": 1.5}, {"ema": -0.1}, {"accumulate": 0}, {"patience": 0}, {"mixup": -1.0}, {"crop": 2.0}]
)
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ClassificationConfig(**wrong)


@pytest.mark.parametrize("model", list_models())
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("given", [{}, {"options.k": 3}, {"options": {"conv": "gin"}}, {"options.dropout": "0.5"}])
def test_options_of_a_presets_network_stay_with_it(preset, model, given):
    """All presets with all models: what was said is kept, and the name is that of the network that is built."""
    for values in ([("line", {"model": model, **given})], [("file", given), ("line", {"model": model})]):
        made = settings(preset, *values)
        said = {"k": 3} if "options.k" in given else given.get("options", {})
        said = {"dropout": 0.5} if "options.dropout" in given else said
        own = dict(PRESETS[preset].options) if "options" not in given else {}
        if model != PRESETS[preset].model:
            own = {key: value for key, value in own.items() if key == "patch_size"}
        assert made.options == {**own, **said}
        config = variant_config(made.model).override({**made.options, "image_size": made.image_size})
        if model != PRESETS[preset].model or not own:
            assert variant_name(config) == model
        assert options_of(made.model)(made.options, "file") == made.options


def test_the_model_of_a_file_counts_as_said():
    made = settings("scratch", ("file", {"model": "vig_micro"}), ("line", {"options.k": "5"}))
    assert made.options == {"patch_size": 4, "k": 5}
    assert settings("scratch", ("line", {"model": "vig_tiny", "image_size": "224"})).options == {}
    own = PRESETS["scratch"].options
    assert settings("scratch", ("file", {"model": "vig_micro"}), ("line", {"model": "pvig_micro"})).options == own
