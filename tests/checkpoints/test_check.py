"""What may be left out when weights are loaded, and that nothing else may: by thousands of spoilt state dicts."""

import random
from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from tests.weights.common import FORMATS, copied, drawn, same
from vig_pyg import PyramidViG, PyramidViGConfig, ViG, ViGConfig, weights
from vig_pyg.checkpoints.check import CLASSIFIER, LAST

SMALL = {"num_classes": 3, "image_size": 16, "patch_size": 4, "head_channels": 8, "k": 2, "heads": 2}
CONFIGS = {
    "vig": ViGConfig(depth=2, channels=8, **SMALL),
    "pvig": PyramidViGConfig(depths=(1, 1), channels=(8, 16), reduce_ratios=(2, 1), **SMALL),
}
#: How the model may differ from the file's, beside one spoilt tensor.
OTHERS = [
    {},
    {"num_classes": 5},
    {"num_classes": 0},
    {"image_size": 24},
    {"num_classes": 5, "image_size": 24},
    {"num_classes": 0, "image_size": 24},
]
MUTATIONS = {
    "nothing": lambda state, key, rng: state,
    "removed": lambda state, key, rng: {k: t for k, t in state.items() if k != key},
    "renamed": lambda state, key, rng: {k + "_" * (k == key): t for k, t in state.items()},
    "moved": lambda state, key, rng: {_next(k) if k == key else k: t for k, t in state.items()},
    "added": lambda state, key, rng: state | {key + ".more": state[key]},
    "table": lambda state, key, rng: state | {"x.relative_pos": state[key]},
    "longer": lambda state, key, rng: state | {key: state[key][None]},
    "wider": lambda state, key, rng: state | {key: torch.cat([state[key].reshape(-1)] * 2)},
    "empty": lambda state, key, rng: state | {key: state[key].new_zeros(0)},
    "integer": lambda state, key, rng: state | {key: _other_kind(state[key])},
    "complex": lambda state, key, rng: state | {key: state[key].to(torch.complex64)},
    "bool": lambda state, key, rng: state | {key: state[key] > 0},
    "meta": lambda state, key, rng: state | {key: state[key].to("meta")},
    "sparse": lambda state, key, rng: state | {key: state[key].to_sparse()},
    "number": lambda state, key, rng: state | {key: 3.0},
}


def _next(key):
    """The key with its first number one higher: of the block behind, or of none."""
    parts = key.split(".")
    at = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return key + ".0" if at is None else ".".join([*parts[:at], str(int(parts[at]) + 7), *parts[at + 1 :]])


def _other_kind(tensor):
    return tensor.long() if tensor.is_floating_point() else tensor.float()


def made(config):
    with torch.random.fork_rng():
        return (ViG if isinstance(config, ViGConfig) else PyramidViG)(config)


def assert_announced(model, before, truth, report):
    """Each tensor of the model is the file's, or one that was announced and is as it was."""
    after = copied(model)
    assert set(report.loaded) | set(report.left_out) == after.keys() and not set(report.loaded) & set(report.left_out)
    classifier = {key for key in after if key in CLASSIFIER}
    assert set(report.left_out) in (set(), set(LAST), classifier)
    assert not report.left_out or any("classifier" in note for note in report.notes)
    for key, tensor in after.items():
        if key in report.left_out:
            assert torch.equal(tensor, before[key]), key
        elif tensor.shape == truth[key].shape:
            assert torch.equal(tensor, truth[key]), key
        else:
            assert key == "pos_embed.weight" and any("resized" in note for note in report.notes)
            assert torch.equal(tensor, F.interpolate(truth[key], size=tensor.shape[2:], mode="bicubic"))
    gone = [key for key in truth if key not in after]
    assert not gone or "The model has no classifier: that of the file was not loaded." in report.notes


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("family", CONFIGS)
def test_a_load_is_complete_or_announced_or_refused_and_changes_nothing(family, format):
    rng, counts = random.Random(f"{family} {format}"), Counter()
    file = drawn(made(CONFIGS[family]))
    headless = drawn(made(CONFIGS[family].override({"num_classes": 0})))
    models = [made(CONFIGS[family].override(other)) for other in OTHERS]
    for mutation, spoil in MUTATIONS.items():
        for round_ in range(12):
            source = headless if round_ % 4 == 3 else file
            truth, model = copied(source), rng.choice(models)
            state = dict(weights.convert(truth, format))
            before = copied(drawn(model))
            state = spoil(state, rng.choice(sorted(state)), rng)
            try:
                report = weights.load_weights(model, state)
            except ValueError as error:
                assert same(copied(model), before), f"{mutation} changed the model: {error}"
                counts[mutation, "refused"] += 1
            else:
                assert_announced(model, before, truth, report)
                counts[mutation, "read"] += 1
    assert counts.pop(("nothing", "read")) == 12
    assert {kind for kind, result in counts if result == "read"} == set(), counts
    assert sum(counts.values()) == 12 * (len(MUTATIONS) - 1)


@pytest.mark.parametrize("family", CONFIGS)
def test_each_single_missing_tensor_is_an_error_whatever_else_differs(family):
    file = made(CONFIGS[family])
    state = dict(file.state_dict())
    for other in OTHERS:
        model = made(CONFIGS[family].override(other))
        for key in state:
            with pytest.raises(ValueError, match="do not fit this"):
                weights.load_weights(model, {k: t for k, t in state.items() if k != key})


@pytest.mark.parametrize("other", OTHERS)
def test_missing_layers_are_an_error_whatever_else_differs(other):
    config = CONFIGS["vig"]
    deeper = made(config.override({"depth": 3} | other))
    with pytest.raises(ValueError, match=r"missing: blocks\.2\."):
        weights.load_weights(deeper, dict(made(config).state_dict()))
    with pytest.raises(ValueError, match=r"unexpected: blocks\.1\."):
        weights.load_weights(made(config.override({"depth": 1} | other)), made(config).state_dict())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions_are_read(dtype):
    model, file = made(CONFIGS["pvig"]), drawn(made(CONFIGS["pvig"]))
    state = {key: t.to(dtype) if t.is_floating_point() else t for key, t in file.state_dict().items()}
    weights.load_weights(model, state)
    assert all(torch.equal(t.to(dtype), state[key]) for key, t in model.state_dict().items() if t.is_floating_point())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_told(value, caplog):
    model, state = made(CONFIGS["vig"]), made(CONFIGS["vig"]).state_dict()
    state["blocks.1.ffn.fc2.1.running_var"][0] = value
    report = weights.load_weights(model, state)
    assert report.notes == (
        "There are NaN or infinite values in blocks.1.ffn.fc2.1.running_var, so the outputs will not be finite.",
    )
    assert report.notes[0] in caplog.text


def test_a_model_without_memory_is_refused():
    with torch.device("meta"):
        model = made(CONFIGS["vig"])
    with pytest.raises(ValueError, match=r"The model is on the device 'meta' \(blocks.*with to_empty"):
        weights.load_weights(model, made(CONFIGS["vig"]).state_dict())


def test_two_names_of_one_tensor_are_refused():
    state = dict(weights.convert(made(CONFIGS["vig"]), "official"))
    for key, theirs in [
        ("head.fc1.weight", "prediction.0.weight"),
        ("blocks.0.ffn.fc1.0.bias", "backbone.0.1.fc1.0.bias"),
    ]:
        with pytest.raises(ValueError, match=f"contain {key} twice, as {theirs} and as {key}: remove one of them"):
            weights.load_weights(made(CONFIGS["vig"]), state | {key: state[theirs]})
    with pytest.raises(ValueError, match=r"unexpected: pos_embed\.weight\.weight"):
        weights.load_weights(made(CONFIGS["vig"]), state | {"pos_embed.weight": state["pos_embed"]})


def test_a_prefix_on_some_keys_alone_is_refused():
    state = dict(made(CONFIGS["vig"]).state_dict())
    for extra in ("module.pos_embed.weight", "module.module.pos_embed.weight"):
        with pytest.raises(ValueError, match=f"unexpected: {extra}"):
            weights.load_weights(made(CONFIGS["vig"]), state | {extra: state["pos_embed.weight"]})
    twice = {f"module.{key}": tensor for key, tensor in (state | {"module.a": torch.zeros(1)}).items()}
    with pytest.raises(ValueError, match=r"unexpected: module\.a"):
        weights.load_weights(made(CONFIGS["vig"]), twice)


def test_huge_numbers_in_keys_cost_nothing():
    for key in ("backbone.999999999999.0.fc1.0.weight", "backbone.blocks.999999999999.0.x", "backbone.999999.0.x"):
        with pytest.raises(ValueError, match=r"missing|unexpected"):
            weights.load_weights(made(CONFIGS["vig"]), {key: torch.zeros(1), "pos_embed.weight": torch.zeros(1)})


def test_a_single_patch_goes_through_every_layout():
    config = CONFIGS["vig"].override({"image_size": 4})
    model = drawn(made(config))
    for format in FORMATS:
        fresh = made(config)
        assert weights.load_weights(fresh, weights.convert(model, format)).notes == ()
        assert same(copied(fresh), copied(model))


def test_tables_tell_the_pooling_and_the_position():
    config = CONFIGS["pvig"]
    state = dict(weights.convert(made(config), "official"))
    state |= {"backbone.0.0.relative_pos": torch.zeros(1, 16, 4), "backbone.2.0.relative_pos": torch.zeros(1, 4, 4)}
    report = weights.load_weights(made(config), state)
    assert report.computed == ("stages.0.blocks.0.grapher.relative_pos", "stages.1.blocks.0.grapher.relative_pos")
    assert report.not_compared == ("conv", "graph", "k", "dilation")
    with pytest.raises(ValueError, match=r"reduce_ratios=\[2, 1\] in the weights, \(1, 1\) here"):
        weights.load_weights(made(config.override({"reduce_ratios": (1, 1)})), state)
    grid = made(config.override({"position": "grid"}))
    with pytest.raises(ValueError, match="position='official' in the weights, 'grid' here"):
        weights.load_weights(grid, state)
    assert "position='official', but this model has 'grid'" in str(
        weights.load_weights(grid, state, overridden=["position"])
    )
