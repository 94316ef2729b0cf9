import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from tests.detection.common import body, norms
from vig_pyg import PyramidViG
from vig_pyg.detection import FrozenBatchNorm, PyramidFeatures, RaggedImages

SIZES = [(50, 70), (96, 96), (33, 128), (2, 90)]


def images(sizes=SIZES):
    return [torch.rand(3, *size) for size in sizes]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("extra", [LastLevelMaxPool, lambda: LastLevelP6P7(16, 16)])
def test_an_image_alone_has_the_features_that_it_has_in_a_batch(training, extra, dtype, tolerance):
    backbone = PyramidFeatures(body(), out_channels=16, extra=extra(), norm="frozen").to(dtype).train(training)
    for parameter in backbone.fpn.parameters():  # biases of 0 would hide what padding adds
        torch.nn.init.normal_(parameter, std=0.3)
    parts = [part.to(dtype) for part in images()]
    together = backbone(RaggedImages(parts, backbone.divisor))
    for i, part in enumerate(parts):
        alone = backbone(RaggedImages([part], backbone.divisor))
        for name, stride in zip("0123", backbone.strides, strict=True):
            h, w = -(-part.size(1) // stride), -(-part.size(2) // stride)
            largest = alone[name].abs().max()
            assert largest > 0.1
            assert (alone[name][0, :, :h, :w] - together[name][i, :, :h, :w]).abs().max() < tolerance * largest
            assert not together[name][i, :, h:].any()
            assert not together[name][i, :, :, w:].any()


def test_a_padded_batch_would_differ():
    """The promise is not empty: padding that enters the graph changes an image's features."""
    backbone = PyramidFeatures(body(), out_channels=16, norm="frozen").eval()
    part = torch.rand(3, 50, 70)
    padded = torch.nn.functional.pad(part, (0, 26, 0, 46))
    ours, theirs = backbone(RaggedImages([part], 32)), backbone(padded[None])
    assert (ours["0"][0, :, :10, :10] - theirs["0"][0, :, :10, :10]).abs().max() > 1e-3


def test_images_of_one_size_go_through_torchvisions_own_pyramid():
    backbone = PyramidFeatures(body(), out_channels=16, extra=LastLevelMaxPool()).eval()
    x = torch.rand(2, 3, 64, 96)
    maps = backbone.body.forward_intermediates(x)
    expected = FeaturePyramidNetwork.forward(backbone.fpn, dict(zip("0123", maps, strict=True)))
    found = backbone(x)
    assert list(found) == list(expected) == ["0", "1", "2", "3", "pool"]
    for name, m in found.items():
        torch.testing.assert_close(m, expected[name])


def test_ordinary_gradients_reach_every_parameter_through_a_ragged_batch():
    backbone = PyramidFeatures(PyramidViG("micro"), out_channels=16).train()
    sum(m.square().mean() for m in backbone(RaggedImages(images(), 16)).values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters())


@pytest.mark.parametrize("trainable", range(6))
def test_trainable_layers_count_from_the_last_stage(trainable):
    backbone = PyramidFeatures(PyramidViG("micro"), out_channels=8, trainable_layers=trainable)
    network = backbone.body
    layers = [*reversed(network.stages), torch.nn.ModuleList([network.stem, network.pos_embed])]
    for i, layer in enumerate(layers):
        assert all(p.requires_grad == (i < trainable) for p in layer.parameters())
        assert all(isinstance(n, FrozenBatchNorm) == (i >= trainable) for n in norms(layer))


def test_norm_modes_and_stages():
    assert all(isinstance(n, FrozenBatchNorm) for n in norms(PyramidFeatures(PyramidViG("micro"), norm="frozen")))
    backbone = PyramidFeatures(PyramidViG("micro"), stages=(2, 4), norm="sync")
    assert {type(n) for n in norms(backbone)} == {torch.nn.SyncBatchNorm}
    assert backbone.strides == [4, 16]
    assert [m.shape[2:] for m in backbone.eval()(torch.rand(1, 3, 32, 32)).values()] == [(8, 8), (2, 2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": (0, 1)}, "from 1 to 4"),
        ({"stages": ()}, "ascending"),
        ({"stages": (3, 2)}, "ascending"),
        ({"stages": (2, 5)}, "from 1 to 4"),
        ({"trainable_layers": 6}, "from 0 to 5"),
        ({"norm": "layer"}, "Unknown norm"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PyramidFeatures(PyramidViG("micro"), **options)


def test_a_pyramid_in_timms_form_gives_the_same_maps():
    from vig_pyg.timm import TimmPyramidViG

    own, theirs = PyramidViG("micro").eval(), TimmPyramidViG("micro").eval()
    theirs.load_state_dict(own.state_dict())
    first, second = (PyramidFeatures(model, out_channels=16).eval() for model in (own, theirs))
    second.fpn.load_state_dict(first.fpn.state_dict())
    images = torch.rand(2, 3, 64, 64)
    for one, two in zip(first(images).values(), second(images).values(), strict=True):
        assert torch.equal(one, two)
