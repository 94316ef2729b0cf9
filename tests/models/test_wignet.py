"""WiGNet against outputs of the published code, in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tests.parity.family.rule import images
from tests.parity.wignet import rule
from tests.test_parity import outputs
from vig_pyg import create_model, weights
from vig_pyg.checkpoints.formats import foreign_names
from vig_pyg.graph import WindowGraph

SLOW = [name for name in rule.PUBLISHED if "_ti_" not in name]


def loaded(name, config=None):
    model = rule.make_model(name) if config is None else create_model(config).double()
    shape = list(model.pos_embed.weight.shape)
    weights.load_weights(model, rule.official_state(name, {"pos_embed": shape}))
    return model


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in rule.PUBLISHED])
def test_published_networks(name):
    model, side = loaded(name).eval(), int(name.split("_")[2])
    want, got = rule.expected(name), outputs(model, images(side, side))
    np.testing.assert_allclose(got["logits"].cpu().numpy(), want["logits"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(got["stem"].cpu().numpy(), want["stem"], rtol=0, atol=1e-9)
    count = sum(key.startswith("backbone.") for key in want)
    assert count == sum(key.startswith("block") for key in got)
    for i in range(count):
        np.testing.assert_allclose(got[f"block{i:02d}"].cpu().numpy(), want[f"backbone.{i}"], rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        np.testing.assert_allclose(model.fuse()(images(side, side)).cpu().numpy(), want["logits"], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ("eval/logits", {}),
        ("setting/noshift", {"shift": False}),
        ("setting/noadapt", {"adaptive": False}),
        ("setting/img256w8", {"image_size": 256, "window": 8}),
        ("setting/img448w7", {"image_size": 448}),
    ],
)
def test_settings(setting, change):
    model = loaded("small_wignet", rule.SMALL.override(change)).eval()
    side = model.config.image_size
    with torch.no_grad():
        got = model(images(side, side)).cpu().numpy()
    np.testing.assert_allclose(got, rule.expected("small_wignet")[setting], rtol=0, atol=1e-9)


def test_training():
    model, want = loaded("small_wignet").train(), rule.expected("small_wignet")
    loss = F.cross_entropy(model(images()), torch.tensor([0, 1]))
    loss.backward()
    np.testing.assert_allclose(loss.item(), want["train/loss"], rtol=1e-10)
    names = {theirs: ours for ours, theirs in foreign_names(model.state_dict(), "official").items()}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    norms = [tensors[names[key]].grad.norm().item() for key in want["train/grad_names"].tolist()]
    # biases before a batch norm have no effect: their gradients are rounding, here and there
    np.testing.assert_allclose(norms, want["train/grad_norms"], rtol=1e-8, atol=1e-10)
    running = [tensors[names[key]].norm().item() for key in want["train/running_names"].tolist()]
    np.testing.assert_allclose(running, want["train/running_norms"], rtol=1e-10)


@pytest.mark.parametrize("name", [*rule.PUBLISHED, "small_wignet"])
def test_official_keys_and_shapes_are_the_published_ones(name):
    with torch.device("meta"):
        state = weights.convert(rule.make_model(name), "official")
    want = {key: shape for key, shape in rule.manifest()[name] if not key.endswith(rule.TABLES)}
    assert {key: list(tensor.shape) for key, tensor in state.items()} == want


def published_file(name):
    """All keys of a published file, the computed tables too."""
    tables = {key: torch.zeros(shape) for key, shape in rule.manifest()[name] if key.endswith(rule.TABLES)}
    assert tables
    return {**rule.official_state(name), **tables}, tables


@pytest.mark.parametrize("name", [*rule.PUBLISHED, "small_wignet"])
def test_published_files_are_loaded_whole_and_their_tables_are_computed(name):
    state, tables = published_file(name)
    model = rule.make_model(name)
    report = weights.load_weights(model, state)
    assert len(report.computed) == len(tables) and not report.left_out and not report.notes


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 8}, "window=7 in the weights, 8 here"),
        ({"shift": False}, "shift=True in the weights, False here"),
        ({"adaptive": False}, "adaptive=True in the weights, False here"),
        ({"position": None}, "position='grid' in the weights, None here"),
    ],
)
def test_options_that_the_tables_show_are_compared(change, message):
    state, _ = published_file("small_wignet")
    with pytest.raises(ValueError, match=message):
        weights.load_weights(create_model(rule.SMALL, **change).double(), state)


def test_a_pyramid_without_windows_refuses_the_file():
    state, _ = published_file("wignet_ti_224")
    with pytest.raises(ValueError, match="reduce_ratios"):
        weights.load_weights(create_model("pvig_tiny").double(), state)


def test_every_second_block_is_shifted_where_the_grid_is_larger_than_a_window():
    shifts = [grapher.graph.shift for grapher in create_model("wignet_tiny").graphers()]
    assert shifts == [0, 4] * 6
    assert all(isinstance(grapher.graph, WindowGraph) for grapher in create_model("wignet_tiny").graphers())


def test_options_of_windows_belong_to_windows():
    model = create_model(rule.SMALL, graph="knn", window=8)
    assert type(model.graphers()[0].graph).__name__ == "DilatedKNN"
    with pytest.raises(ValueError, match="shift: these options of graph='window' have no effect on another graph"):
        create_model("wignet_tiny", graph="knn", shift=False)
    with pytest.raises(ValueError, match="window must be at least 1, got 0"):
        create_model("wignet_tiny", window=0)


def test_images_of_different_sizes_get_what_each_gets_alone():
    model = create_model("wignet_tiny", num_classes=5).double().eval()
    pictures = [torch.rand(3, 64, 96).double(), torch.rand(3, 150, 233).double(), torch.rand(3, 64, 96).double()]
    with torch.no_grad():
        together = model(pictures)
        alone = torch.cat([model(image[None]) for image in pictures])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=0)
