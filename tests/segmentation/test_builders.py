import pytest
import torch

from tests.common import empty
from tests.segmentation.common import NAMES, segmenter
from vig_pyg import PyramidViG, pvig_micro, weights
from vig_pyg.config import PYRAMID_VIG_VARIANTS
from vig_pyg.segmentation import SEGMENTERS, semantic_fpn_pvig
from vig_pyg.segmentation.builders import segmenter_config


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("variant", PYRAMID_VIG_VARIANTS)
def test_every_size_is_built(name, variant):
    model = empty(SEGMENTERS[name], variant, num_classes=150)
    assert model.head.classifier[1].out_channels == 150
    assert model.config.backbone.channels == PYRAMID_VIG_VARIANTS[variant].channels
    assert model.config.options.head_channels == (128 if name == "semantic_fpn" else 256)


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_builds_the_same_network(name):
    model = segmenter(name, k=5, drop_path_rate=0.1, patch_size=4, norm="frozen", trainable_layers=2)
    other = model.config.build()
    other.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, 40, 40)
    assert torch.equal(model.eval()(images)["out"], other.eval()(images)["out"])
    trained = [[p.requires_grad for p in one.parameters()] for one in (model, other)]
    assert trained[0] == trained[1]


def test_backbone_options_arrive():
    config = segmenter(in_channels=1, drop_path_rate=0.2, k=3, conv="gin").body.config
    assert (config.in_channels, config.drop_path_rate, config.k, config.conv) == (1, 0.2, 3, "gin")
    assert (config.position, config.knn_engine) == ("grid", "dense")
    assert segmenter(graph="window").body.config.graph == "window"
    assert segmenter(position="official").body.config.position == "official"


def test_classification_weights_are_loaded():
    source = pvig_micro(num_classes=7)
    model = segmenter(weights_backbone=weights.convert(source, "official"))
    taken = model.body.state_dict()
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in taken.items())
    assert all(p.requires_grad for p in model.parameters())
    assert model.config.options.weights_backbone is None
    with pytest.raises(ValueError, match="do not fit"):
        segmenter(weights_backbone=PyramidViG("tiny").state_dict())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_clases": 3}, TypeError, "Unknown options of the .*: num_clases"),
        ({"num_classes": 0}, ValueError, "at least 1"),
        ({"norm": "group"}, ValueError, "Unknown norm"),
        ({"trainable_layers": 6}, ValueError, "from 0 to 5"),
        ({"out_channels": 2}, ValueError, "out_channels must be at least 4"),
        ({"k": 0}, ValueError, "k must be at least 1"),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_wrong_options_are_named(name, options, error, message):
    with pytest.raises(error, match=message):
        segmenter(name, **options)


def test_the_number_of_classes_is_needed():
    with pytest.raises(TypeError, match="num_classes is missing"):
        semantic_fpn_pvig("micro")
    with pytest.raises(TypeError, match="num_classes is missing"):
        segmenter_config("upernet", "micro", {})
