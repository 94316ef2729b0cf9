import numpy as np
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

from tests.common import calibrated
from vig_pyg import PyramidViG, ViG, VisionGNN, list_models
from vig_pyg.head import ClassifierHead
from vig_pyg.models import ViGConfig
from vig_pyg.testing import assert_batch_independence, assert_parameters_get_gradients

FAMILIES = [ViG, PyramidViG]
SIZES = [(32, 32), (24, 40), (17, 33), (64, 16), (32, 32)]


def ragged(dtype=torch.float32):
    return [torch.rand(3, *size, dtype=dtype) for size in SIZES]


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    return calibrated(family("micro", num_classes=5))


def test_every_parameter_gets_a_gradient(family):
    assert assert_parameters_get_gradients(family("micro", num_classes=5), torch.rand(2, 3, 32, 32)) > 0


def test_every_parameter_gets_a_gradient_in_training(family):
    model = family("micro", num_classes=5, drop_path_rate=0.1, dropout=0.1, stochastic=True)
    model.train()(torch.rand(4, 3, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_ragged_batch_gives_each_image_what_it_gets_alone(model):
    assert assert_batch_independence(model, ragged()) < 1e-5


@pytest.mark.parametrize("engine", ["auto", "dense", "torch_cluster"])
@pytest.mark.parametrize("position", ["official", "grid", None])
def test_a_ragged_batch_in_float64(family, engine, position):
    options = {"position": position} if family is PyramidViG else {}
    model = calibrated(family("micro", num_classes=5, knn_engine=engine, **options).double())
    assert assert_batch_independence(model, ragged(torch.float64)) < 1e-12


def test_a_regular_batch_gives_each_image_what_it_gets_alone(model):
    assert assert_batch_independence(model, torch.rand(4, 3, 32, 48)) < 1e-5


def test_other_images_do_not_matter(model):
    images = torch.rand(3, 3, 32, 32)
    before = model(images)[1]
    images[0], images[2] = torch.rand(3, 32, 32), 0
    torch.testing.assert_close(model(images)[1], before, rtol=0, atol=1e-5)


def test_a_list_of_images_of_one_size_is_a_stack(model):
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(model(list(images)), model(images), rtol=0, atol=1e-6)


def test_both_engines_give_the_same_logits(family):
    images = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    logits = []
    for engine in ("dense", "torch_cluster"):
        torch.manual_seed(0)
        logits.append(family("micro", knn_engine=engine).double().eval()(images))
    torch.testing.assert_close(*logits, rtol=0, atol=1e-12)


def test_a_ragged_batch_trains(family):
    model = family("micro", num_classes=5).train()
    model(ragged()).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("images", [torch.rand(2, 3, 32, 32), ragged()])
def test_embed_is_a_pyg_batch_that_splits(model, images):
    batch = model.embed(images)
    assert isinstance(batch, Batch)
    parts = batch.to_data_list()
    assert len(parts) == len(images)
    for part, image in zip(parts, images, strict=True):
        alone = model.embed(image[None])
        assert tuple(part.grid_size) == tuple(-(-side // model.config.patch_size) for side in image.shape[1:])
        torch.testing.assert_close(part.x, alone.x, rtol=0, atol=1e-5)
        assert torch.equal(part.pos, alone.pos)


def test_stem_and_position_make_the_patches(model):
    images = torch.rand(2, 3, 32, 32)
    want = model.stem(images) + model.pos_embed.weight
    torch.testing.assert_close(model.embed(images).x, want.permute(0, 2, 3, 1).flatten(0, 2), rtol=0, atol=1e-6)


def test_a_batch_of_patches_goes_straight_to_the_blocks(model):
    images = torch.rand(2, 3, 32, 32)
    again = Batch.from_data_list(model.embed(images).to_data_list())
    torch.testing.assert_close(model.forward_head(model.forward_features(again)), model(images), rtol=0, atol=1e-6)


def test_forward_is_features_then_head(model):
    images = torch.rand(2, 3, 32, 32)
    batch = model.forward_features(images)
    pooled = torch.stack([part.x.mean(0) for part in batch.to_data_list()])
    torch.testing.assert_close(model.head(pooled), model(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (48, 20)])
def test_feature_info_agrees_with_the_maps(model, size):
    images = torch.rand(2, 3, *size)
    maps, captured = model.forward_intermediates(images), {}
    for info in model.feature_info:
        module = model.get_submodule(info["module"])
        module.register_forward_hook(lambda m, i, out, key=info["module"]: captured.update({key: out}))
    model(images)
    assert len(maps) == len(model.feature_info)
    for info, feature in zip(model.feature_info, maps, strict=True):
        grid = tuple(-(-side // info["reduction"]) for side in size)
        assert feature.shape == (2, info["num_chs"], *grid)
        nodes = captured[info["module"]]
        nodes = nodes[0] if isinstance(nodes, tuple) else nodes
        torch.testing.assert_close(feature.permute(0, 2, 3, 1).flatten(0, 2), nodes)


def test_chosen_intermediates_come_in_the_order_asked(model):
    images = torch.rand(1, 3, 32, 32)
    maps = model.forward_intermediates(images)
    for got, want in zip(model.forward_intermediates(images, [-1, 0, 2]), [maps[-1], maps[0], maps[2]], strict=True):
        torch.testing.assert_close(got, want)


def test_intermediates_of_a_ragged_batch_are_lists(model):
    images = ragged()
    for info, maps in zip(model.feature_info, model.forward_intermediates(images), strict=True):
        grids = [(info["num_chs"], *(-(-side // info["reduction"]) for side in size)) for size in SIZES]
        assert [tuple(m.shape) for m in maps] == grids


@pytest.mark.parametrize("index", [9, -9])
def test_an_index_out_of_range_is_refused(model, index):
    with pytest.raises(IndexError, match=f"Feature index {index} is out of range: {type(model).__name__} has"):
        model.forward_intermediates(torch.rand(1, 3, 32, 32), [index])


def test_reset_classifier(model):
    images = torch.rand(2, 3, 32, 32)
    hidden = model.head.fc1.weight.clone()
    model.reset_classifier(7)
    assert model(images).shape == (2, 7) and model.config.num_classes == 7
    assert torch.equal(model.head.fc1.weight, hidden)
    model.reset_classifier(0)
    assert isinstance(model.head, nn.Identity)
    assert model(images).shape == (2, model.num_features)
    model.double().reset_classifier(4)
    assert isinstance(model.head, ClassifierHead) and not model.head.training
    assert model(images.double()).shape == (2, 4)


@pytest.mark.parametrize("count", ["5", -1, 2.5, True, None, torch.tensor(True), torch.tensor(2.5), [3], float("nan")])
def test_a_number_of_classes_that_is_none_is_refused_and_nothing_changes(model, count):
    model.class_names = list("abcde")
    before = model.head.fc2
    with pytest.raises((TypeError, ValueError), match=r"num_classes must be .*, got"):
        model.reset_classifier(count)
    assert model.head.fc2 is before and model.config.num_classes == 5 and model.class_names == list("abcde")


@pytest.mark.parametrize("count", [np.int64(3), torch.tensor(3), np.uint8(3)])
def test_numbers_of_other_libraries_become_python_numbers(model, count):
    model.reset_classifier(count)
    assert type(model.config.num_classes) is int and model(torch.rand(1, 3, 32, 32)).shape == (1, 3)


@pytest.mark.parametrize("index", [0, 1, 2, 3, -1, -4])
def test_nothing_is_computed_after_the_last_wanted_map(model, index):
    calls = []
    for grapher in model.graphers():
        grapher.register_forward_hook(lambda *_: calls.append(1))
    images = torch.rand(1, 3, 32, 32)
    maps = model.forward_intermediates(images)
    every = len(calls)
    torch.testing.assert_close(model.forward_intermediates(images, [index, 0]), [maps[index], maps[0]])
    wanted = model.feature_info[: index % len(model.feature_info) + 1]
    modules = {info["module"] for info in wanted}
    expected = sum(
        name.startswith(tuple(f"{m}." for m in modules))
        for name, m in model.named_modules()
        if m in set(model.graphers())
    )
    assert len(calls) - every == expected
    assert model.forward_intermediates(images, []) == []


def test_the_classifier_takes_what_precedes_the_logits(model):
    images = torch.rand(2, 3, 32, 32)
    batch = model.forward_features(images)
    pooled = model.forward_head(batch, pre_logits=True)
    assert pooled.shape == (2, model.num_features)
    torch.testing.assert_close(model.get_classifier()(pooled), model(images), rtol=0, atol=1e-6)
    assert model.get_classifier().weight is model.head.fc2.weight and model.get_classifier().bias is model.head.fc2.bias
    assert (model.get_classifier().in_features, model.get_classifier().out_features) == (model.num_features, 5)
    model.reset_classifier(0)
    assert isinstance(model.get_classifier(), nn.Identity)
    assert torch.equal(model(images), pooled)


@pytest.mark.parametrize("training", [False, True])
def test_a_new_classifier_is_in_the_mode_and_dtype_of_the_model(family, training):
    model = family("micro", num_classes=5).double().train(training)
    for count in (3, 0, 4):
        model.reset_classifier(count)
        assert all(module.training == training for module in model.modules())
        assert all(p.dtype == torch.float64 for p in model.parameters())


@pytest.mark.parametrize("images", [torch.rand(2, 3, 32, 48), [torch.rand(3, 32, 32), torch.rand(3, 24, 40)]])
def test_grad_cam(model, images):
    """The target layer sees maps; its gradient has their shape; what a hook returns is what is pooled."""
    found = []
    handle = model.feature_map.register_forward_hook(lambda module, inputs, maps: found.append(maps))
    logits = model(images)
    handle.remove()
    last = model.forward_intermediates(images)[-1]
    maps = list(found[0])
    assert len(found) == 1
    torch.testing.assert_close(maps, list(last))
    whole = found[0] if isinstance(found[0], torch.Tensor) else tuple(found[0])
    gradient = torch.autograd.grad(logits[:, 1].sum(), whole)
    for part, one in zip(gradient[0] if len(gradient) == 1 else gradient, maps, strict=True):
        assert part.shape == one.shape and part.abs().sum() > 0
        torch.testing.assert_close(part, part[:, :1, :1].expand_as(part))  # of a mean over the cells
    handle = model.feature_map.register_forward_hook(lambda module, inputs, maps: [0 * m for m in maps])
    blank = model(images)
    handle.remove()
    torch.testing.assert_close(blank, model.head(torch.zeros(2, model.num_features)))


def test_names_without_decay_are_parameters(model):
    names = dict(model.named_parameters())
    assert model.no_weight_decay() <= names.keys()
    assert all(names[name].dim() > 1 for name in model.no_weight_decay())


def test_no_classes_give_pooled_features(family):
    model = family("micro", num_classes=0).eval()
    images = torch.rand(2, 3, 32, 32)
    pooled = torch.stack([m.mean((1, 2)) for m in model.forward_intermediates(images)[-1]])
    torch.testing.assert_close(model(images), pooled)


@pytest.mark.parametrize("options", [{"in_channels": 1}, {"in_channels": 5}, {"patch_size": 8}, {"patch_size": 1}])
def test_channels_and_patch_size(family, options):
    model = family("micro", num_classes=5, **options).eval()
    images = torch.rand(2, options.get("in_channels", 3), 16, 24)
    assert model(images).shape == (2, 5)
    assert model.feature_info[0]["reduction"] == model.config.patch_size


def test_one_pixel_of_patches(family):
    model = family("micro", num_classes=5).eval()
    side = model.config.patch_size
    assert model(torch.rand(2, 3, side, side)).isfinite().all()


def test_evaluation_gives_the_same_twice_and_training_mode_stays(model):
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), model(images))
    assert not model.training
    assert model.graphs(images) and not model.training


def test_base_is_abstract():
    with pytest.raises(TypeError):
        VisionGNN(ViGConfig(depth=1, channels=8), stem=None, pos_embed=None, channels=8, last_channels=8)
    assert {"vig_micro", "pvig_micro"} < set(list_models())
