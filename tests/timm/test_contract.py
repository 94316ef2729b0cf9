"""timm's contract on the small models: the calls of timm's own tests, and equality with the models of this library."""

import copy
from itertools import product

import pytest
import timm
import torch
from timm.layers import SelectAdaptivePool2d
from timm.models._features import FeatureGetterNet

import vig_pyg.timm
from tests.common import calibrated
from vig_pyg import create_model
from vig_pyg.timm import TimmContract, UnsupportedPoolError

NAMES = ["vig_micro", "pvig_micro"]
FORMS = {"NCHW": (0, 1, 2, 3), "NHWC": (0, 2, 3, 1)}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


@pytest.fixture
def pair(name):
    """A model of this library, and timm's with its weights."""
    own = calibrated(create_model(name, num_classes=5))
    theirs = timm.create_model(name, num_classes=5).eval()
    theirs.load_state_dict(own.state_dict())
    return own, theirs


@pytest.mark.parametrize("size", [(32, 32), (48, 20), (17, 33)])
def test_the_same_weights_give_the_same_numbers(pair, size):
    own, theirs = pair
    assert own.state_dict().keys() == theirs.state_dict().keys()
    images = torch.rand(2, 3, *size)
    assert torch.equal(own(images), theirs(images))
    maps = own.forward_intermediates(images)
    features, found = theirs.forward_intermediates(images)
    assert all(map(torch.equal, maps, found)) and len(maps) == len(found)
    assert torch.equal(features, theirs.forward_features(images)) and torch.equal(features, maps[-1])
    assert torch.equal(theirs.forward_head(features), own(images))
    pooled = theirs.forward_head(features, pre_logits=True)
    assert torch.equal(pooled, own.forward_head(own.forward_features(images), pre_logits=True))
    assert torch.equal(theirs.get_classifier()(pooled), own(images))


def test_lists_and_batches_are_as_for_our_models(pair):
    own, theirs = pair
    images = [torch.rand(3, 32, 32), torch.rand(3, 24, 40)]
    assert torch.equal(own(images), theirs(images))
    batch = theirs.forward_features(images)
    assert torch.equal(theirs.forward_head(batch), own.forward_head(own.forward_features(images)))
    assert torch.equal(own.graphs(images)[0].edge_index, theirs.graphs(images)[0].edge_index)
    theirs.reset_classifier(5, "max")
    with pytest.raises(
        UnsupportedPoolError, match="A list of images or a batch of patches needs global_pool='avg', got 'max'"
    ):
        theirs(images)


def test_intermediates(pair):
    """All combinations of the arguments."""
    own, theirs = pair
    images, calls = torch.rand(1, 3, 32, 32), []
    maps = own.forward_intermediates(images)
    count = len(maps)
    for grapher in theirs.graphers():
        grapher.register_forward_hook(lambda *_: calls.append(1))
    flags = (False, True)
    for indices, early, only in product([None, 1, 3, [0], [2, 0], (-1,), [-4, 1]], flags, flags):
        wanted = range(count) if indices is None else range(-indices, 0) if isinstance(indices, int) else indices
        last = max(i % count for i in wanted)
        calls.clear()
        found = theirs.forward_intermediates(images, indices=indices, stop_early=early, intermediates_only=only)
        if not only:
            features, found = found
            assert torch.equal(features, maps[last if early else -1])
        assert all(torch.equal(one, maps[i]) for one, i in zip(found, wanted, strict=True))
        assert (len(calls) < len(theirs.graphers())) == ((early or only) and last < count - 1)


@pytest.mark.parametrize("form", ["NCHW", "NHWC", "NLC"])
def test_forms_of_intermediates(pair, form):
    images = torch.rand(2, 3, 32, 48)
    maps = pair[0].forward_intermediates(images)
    found = pair[1].forward_intermediates(images, output_fmt=form, norm=True, intermediates_only=True)
    for one, other in zip(found, maps, strict=True):
        want = other.permute(FORMS[form]) if form in FORMS else other.flatten(2).transpose(1, 2)
        assert torch.equal(one, want)


def test_wrong_arguments_of_intermediates(pair):
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW', 'NHWC' or 'NLC', got 'NCL'"):
        pair[1].forward_intermediates(images, output_fmt="NCL")
    for indices in ([4], [-5], 5, 0):
        with pytest.raises(AssertionError, match="out of range"):
            pair[1].forward_intermediates(images, indices=indices)


@pytest.mark.parametrize("pool", ["avg", "max", "avgmax", "fast", "fastmax", "fastavg", "fastavgmax", ""])
def test_pooling(name, pool):
    model = timm.create_model(name, num_classes=0, global_pool=pool).eval()
    images = torch.rand(2, 3, 32, 48)
    features = model.forward_features(images)
    assert features.shape[1] == model.num_features == model.head_hidden_size
    want = SelectAdaptivePool2d(pool_type=pool, flatten=True)(features) if pool else features
    torch.testing.assert_close(model(images), want)
    torch.testing.assert_close(model.forward_head(features, pre_logits=True), want)


def test_a_new_classifier_keeps_the_pooling_unless_it_is_named(name):
    model = timm.create_model(name, num_classes=4, global_pool="max").eval()
    images = torch.rand(2, 3, 32, 32)
    pooled = model.forward_head(model.forward_features(images), pre_logits=True)
    model.reset_classifier(5)
    assert model.num_classes == 5 and model(images).shape == (2, 5)
    assert torch.equal(model.forward_head(model.forward_features(images), pre_logits=True), pooled)
    model.reset_classifier(5, "avg")
    assert not torch.allclose(model.forward_head(model.forward_features(images), pre_logits=True), pooled)
    model.reset_classifier(0, "")
    assert model(images).dim() == 4
    model.reset_classifier(3)
    assert model.global_pool == "avg" and model(images).shape == (2, 3)


@pytest.mark.parametrize("count", ["5", -1, 2.5, True, None])
def test_a_number_of_classes_that_is_none_is_refused_and_nothing_changes(name, count):
    model = timm.create_model(name, num_classes=4, global_pool="max").eval()
    for arguments in ((count,), (count, "avg")):
        with pytest.raises((TypeError, ValueError), match="num_classes must be"):
            model.reset_classifier(*arguments)
    assert (model.num_classes, model.global_pool) == (4, "max") and model(torch.rand(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("indices", [1, 2, [0], [1, 0], [-1], [-2]])
def test_pruning_shortens_the_list_of_maps(name, indices):
    model, images = timm.create_model(name, num_classes=4).eval(), torch.rand(1, 3, 32, 48)
    want, whole = model.forward_intermediates(images, indices, intermediates_only=True), model.feature_info
    kept = model.prune_intermediate_layers(indices)
    assert model.feature_info == whole[: max(kept) + 1]
    assert [m.size(1) for m in want] == [model.feature_info[i]["num_chs"] for i in kept]
    maps = model.forward_intermediates(images, kept, intermediates_only=True)
    assert all(map(torch.equal, maps, want)) and model.num_features == model.feature_info[-1]["num_chs"]
    assert len(model.forward_intermediates(images, intermediates_only=True)) == len(model.feature_info)
    model.reset_classifier(3)
    assert model(images).shape == (1, 3)


@pytest.mark.parametrize("pool", ["catavgmax", "token", ""])
def test_an_impossible_pooling_is_refused_and_nothing_changes(name, pool):
    with pytest.raises(AssertionError, match="global_pool must be one of"):
        timm.create_model(name, global_pool=pool)
    model = timm.create_model(name, num_classes=4).eval()
    with pytest.raises(UnsupportedPoolError, match="global_pool must be one of"):
        model.reset_classifier(7, pool)
    assert model.num_classes == 4 and model(torch.rand(1, 3, 32, 32)).shape == (1, 4)


@pytest.mark.parametrize("index", range(4))
def test_pruning(pair, index):
    own, theirs = pair
    images = torch.rand(2, 3, 32, 32)
    maps = own.forward_intermediates(images)
    whole = copy.deepcopy(theirs)
    whole.prune_intermediate_layers([3], prune_head=False)
    assert torch.equal(whole(images), own(images))
    assert theirs.prune_intermediate_layers([index - 4]) == [index]
    assert torch.equal(theirs.forward_intermediates(images, [index], intermediates_only=True)[0], maps[index])
    assert torch.equal(theirs.forward_features(images), maps[index]) and torch.equal(theirs(images), maps[index])
    assert not [key for key in theirs.state_dict() if key.startswith("head.")]
    theirs.train().forward_features(images).sum().backward()
    assert not [key for key, p in theirs.named_parameters() if p.grad is None]
    theirs.eval().reset_classifier(7, "avg")
    assert theirs.head_hidden_size == maps[index].size(1) and theirs(images).shape == (2, 7)
    with pytest.raises(AssertionError, match="out of range"):
        theirs.prune_intermediate_layers([index + 1])


@pytest.mark.parametrize("feature_cls", [None, "getter", FeatureGetterNet])
def test_features_have_no_layer_too_many(name, feature_cls):
    options = {} if feature_cls is None else {"feature_cls": feature_cls}
    model = timm.create_model(name, features_only=True, out_indices=(0, 2), **options)
    images = torch.rand(2, 3, 32, 48)
    maps = model(images)
    assert [m.size(1) for m in maps] == model.feature_info.channels()
    assert [32 // m.size(2) for m in maps] == model.feature_info.reduction()
    sum(m.sum() for m in maps).backward()
    assert not [key for key, p in model.named_parameters() if p.grad is None or "head" in key]
    assert len(model.model.graphers()) == {"vig_micro": 3, "pvig_micro": 4}[name]


@pytest.mark.parametrize("feature_cls", ["list", "dict", "hook", "fx"])
def test_feature_classes_that_cannot_work_are_refused(name, feature_cls):
    with pytest.raises(ValueError, match="feature_cls must be 'getter'"):
        timm.create_model(name, features_only=True, feature_cls=feature_cls)


def test_checkpointing_of_features(name):
    images, results = torch.rand(2, 3, 32, 32), []
    for enable in (False, True):
        torch.manual_seed(0)
        model = timm.create_model(name, features_only=True).train()
        model.set_grad_checkpointing(enable)
        assert model.model.grad_checkpointing is enable
        sum(m.square().mean() for m in model(images)).backward()
        results.append([*(p.grad for p in model.parameters()), *model.buffers()])
    assert all(map(torch.equal, *results))


def test_everything_on_meta_and_in_half_precision(name):
    """As timm's tests of configurations do: shapes, devices, dtypes and modes, without memory."""
    model = timm.create_model(name, device="meta", dtype=torch.float32).eval()
    assert {tensor.device.type for tensor in model.state_dict().values()} == {"meta"}
    size = model.default_cfg["input_size"]
    features = model.forward_features(torch.rand(1, *size, device="meta"))
    assert features.shape[2:] == model.default_cfg["pool_size"]
    model.to(torch.bfloat16)
    assert model(torch.rand(1, *size, device="meta", dtype=torch.bfloat16)).dtype == torch.bfloat16
    model.requires_grad_(False).to(torch.float64)
    for arguments in ((0,), (0, "")):
        model.reset_classifier(*arguments)
        assert not [p for p in model.parameters() if p.requires_grad]
    model.reset_classifier(2)
    assert {p.device.type for p in model.get_classifier().parameters()} == {"meta"}
    assert {p.dtype for p in model.get_classifier().parameters()} == {torch.float64}
    assert not any(module.training for module in model.modules())


def test_a_saved_model_is_one_of_this_library(pair, tmp_path):
    own, theirs = pair
    theirs.save_pretrained(tmp_path)
    again = vig_pyg.VisionGNN.from_pretrained(tmp_path)
    assert type(again) is type(own) and not isinstance(again, TimmContract)
    assert torch.equal(again(torch.ones(1, 3, 32, 32)), own(torch.ones(1, 3, 32, 32)))
    theirs.reset_classifier(5, "max")
    with pytest.raises(
        ValueError, match="Only a model with global_pool='avg' can be saved, this one has global_pool='max'"
    ):
        theirs.save_pretrained(tmp_path / "max")
    theirs.prune_intermediate_layers([0])
    theirs.reset_classifier(5, "avg")
    with pytest.raises(ValueError, match="do not match its configuration"):
        theirs.save_pretrained(tmp_path / "pruned")
    assert not (tmp_path / "max").exists() and not (tmp_path / "pruned").exists()


def test_fusing(pair):
    own, theirs = pair
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(theirs.fuse()(images), own.fuse()(images))


@pytest.mark.parametrize("pool", ["max", "avgmax", ""])
def test_patches_are_pooled_by_their_average_or_refused(pool):
    model = timm.create_model("pvig_micro", global_pool=pool, num_classes=0 if pool == "" else 5).eval()
    patches = model.forward_features([torch.rand(3, 32, 32), torch.rand(3, 32, 48)])
    with pytest.raises(UnsupportedPoolError, match="global_pool='avg'"):
        model.forward_head(patches)
