from dataclasses import fields

import pytest
import yaml

from vig_pyg.builders import create_model, list_models
from vig_pyg.classification import PRESETS, Augmentation, ClassificationConfig, load_config, read_yaml, to_yaml
from vig_pyg.cli.train import make_parser
from vig_pyg.config import variant_config, variant_name
from vig_pyg.config_schema import options_of
from vig_pyg.engine.warmup import Warmup


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_a_network(name):
    preset = PRESETS[name].resolved()
    options = {"num_classes": 10, "image_size": preset.image_size, "drop_path_rate": preset.drop_path_rate}
    assert create_model(preset.model, **preset.options, **options).config.drop_path_rate == preset.drop_path_rate


def test_imagenet_is_the_published_recipe():
    """Vision GNN, arXiv 2206.00272, table 3 and the published command."""
    recipe = PRESETS["imagenet"]
    assert recipe.augmentation.crop == 0.08
    assert (recipe.epochs, recipe.batch_size, recipe.lr, recipe.weight_decay, recipe.eps) == (
        300,
        1024,
        2e-3,
        0.05,
        1e-8,
    )
    assert Warmup.parse(recipe.warmup).steps(total=300 * 1251, epochs=recipe.epochs) == 20 * 1251
    assert recipe.warmup_lr == 1e-6
    assert recipe.augmentation.randaugment == "rand-m9-mstd0.5-inc1"
    assert (recipe.augmentation.erasing, recipe.augmentation.color_jitter) == (0.25, 0.4)
    assert (recipe.mixup, recipe.cutmix) == (0.8, 1.0)
    assert (recipe.label_smoothing, recipe.ema, recipe.repeats) == (0.1, 0.99996, 3)
    assert "mixed" in recipe.precision


@pytest.mark.parametrize("name", PRESETS)
def test_yaml_goes_round(tmp_path, name):
    (tmp_path / "config.yaml").write_text(to_yaml(load_config(name)))
    values = read_yaml(tmp_path / "config.yaml")
    assert list(values) != [] and set(values) == {f.name for f in fields(ClassificationConfig)}
    for base in PRESETS:
        assert load_config(base, ("config.yaml", values)) == load_config(name)


def test_options_of_networks_go_round(tmp_path):
    made = load_config("digits", ("here", {"options.depths": [1, 2], "options.conv": "gin", "model": "pvig_micro"}))
    assert made.options == {"patch_size": 2, "depths": (1, 2), "conv": "gin"}
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    assert load_config("scratch", ("file", read_yaml(tmp_path / "config.yaml"))) == made


@pytest.fixture(scope="module")
def parser():
    return make_parser()


#: Values of text, and of what is null in all presets.
OTHERS = {
    "precision": ["bf16-mixed"],
    "accelerator": ["cpu"],
    "devices": [2],
    "root": ["elsewhere"],
    "train_split": ["training", "pets-train-{000..099}.tar"],
    "val_split": ["test", "train[80%:]"],
    "input_key": ["jpg;png"],
    "target_key": ["fine_label"],
    "schedule": ["step"],
    "milestones": [(0.5, 0.75)],
    "warmup": ["500 steps", "5%"],
    "on_bad": ["drop"],
    "keep": ["best"],
    "patience": [3],
    "checkpoint_every": [50],
    "weights": ["imagenet1k"],
    "cache": [64],
    "clip_grad": [5.0],
    "mean": [0.4, [0.4, 0.5, 0.6]],
    "std": [0.2, [0.2, 0.3, 0.4]],
    "teacher": ["resnet18"],
    "teacher_weights": ["teacher.pth"],
    "distillation": ["hard", "soft"],
}
#: Options of the teacher, which need others.
TAUGHT = {"teacher": "t", "distillation": "soft"}
NAMES = [f.name for f in fields(ClassificationConfig) if f.name not in ("options", "augmentation")]


@pytest.mark.parametrize("name", [*NAMES, *(f"augmentation.{f.name}" for f in fields(Augmentation))])
def test_every_value_can_be_given_as_a_flag(parser, name):
    """The values of all presets and one that none has: a flag gives the value itself, of the same type."""
    part, _, inner = name.rpartition(".")

    def value_of(config):
        return getattr(config.augmentation if part else config, inner)

    base = value_of(PRESETS["digits"])
    values = [value_of(preset) for preset in PRESETS.values()] + OTHERS.get(inner, [])
    if isinstance(base, bool):
        values.append(not base)
    elif isinstance(base, int | float):
        values.append(base + 1 if isinstance(base, int) else 0.125 if base < 0.5 else base / 2)
    changed = False
    for value in values:
        text = yaml.safe_dump(value).removesuffix("...\n").strip()
        flags = parser.parse_flags([f"--{name.replace('_', '-')}", text])
        others = TAUGHT if name.startswith(("teacher_", "distillation")) else {}
        found = value_of(load_config("digits", ("others", others), ("the command line", flags)))
        meant = value if value != "published" else 0.1
        assert (found, type(found)) == (meant, type(meant))
        changed |= found != base
    assert changed  # else leaving the flag out of account would pass


def test_options_can_be_given_as_flags(parser):
    argv = ["--model", "pvig_micro", "--options.depths", "[1, 2, 3, 4]", "--k", "[3, 9]", "--conv", "gin"]
    made = load_config("digits", ("the command line", parser.parse_flags(argv)))
    assert made.options == {"patch_size": 2, "depths": (1, 2, 3, 4), "k": (3, 9), "conv": "gin"}


def test_the_last_one_wins(parser):
    file = ("file", {"lr": 1, "epochs": 100, "augmentation": {"flip": 0.5, "crop": 0.5}})
    line = parser.parse_flags(["--lr=5e-4", "--ema=null", "--augmentation.flip=1", "--devices", "8"])
    made = load_config("digits", file, ("line", line))
    assert (made.lr, made.epochs, made.ema, made.devices) == (5e-4, 100, None, 8)
    assert (made.augmentation.flip, made.augmentation.crop, made.augmentation.affine) == (1.0, 0.5, True)


def test_unknown_presets_and_files_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"Unknown preset 'imgnet' \(did you mean 'imagenet'\?\): choose one of digits"
    ):
        load_config("imgnet")
    with pytest.raises(FileNotFoundError, match=r"none\.yaml"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(ValueError, match="a mapping from keys to values"):
        read_yaml(tmp_path / "list.yaml")
    (tmp_path / "no.yaml").write_text("a: [")
    with pytest.raises(ValueError, match=r"no\.yaml is not plain YAML"):
        read_yaml(tmp_path / "no.yaml")


@pytest.mark.parametrize("model", list_models())
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("given", [{}, {"options.k": 3}, {"options": {"conv": "gin"}}, {"options.dropout": 0.5}])
def test_options_of_a_presets_network_stay_with_it(preset, model, given):
    """All presets with all models: what was said is kept, and the name is that of the network that is built."""
    for values in ([("line", {"model": model, **given})], [("file", given), ("line", {"model": model})]):
        made = load_config(preset, *values)
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
    made = load_config("scratch", ("file", {"model": "vig_micro"}), ("line", {"options.k": 5}))
    assert made.options == {"patch_size": 4, "k": 5}
    assert load_config("scratch", ("line", {"model": "vig_tiny", "image_size": 224})).options == {}
    own = PRESETS["scratch"].options
    assert load_config("scratch", ("file", {"model": "vig_micro"}), ("line", {"model": "pvig_micro"})).options == own
