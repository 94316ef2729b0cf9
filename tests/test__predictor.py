"""Predictors of all tasks: a short text, and a clear error where a network is expected."""

import copy
import pickle
import re

import pytest
import torch

import vig_pyg
from vig_pyg import create_model, explain
from vig_pyg.classification.load import ImageClassifier
from vig_pyg.detection import retinanet_pvig
from vig_pyg.detection.load import ObjectDetector
from vig_pyg.export import to_onnx
from vig_pyg.fuse import fuse
from vig_pyg.macs import count_macs
from vig_pyg.preprocess import Preprocessing
from vig_pyg.segmentation import SegmentationPreprocessing, semantic_fpn_pvig
from vig_pyg.segmentation.export import to_onnx as segmenter_to_onnx
from vig_pyg.segmentation.load import SemanticSegmenter

NAMES = [f"class {i}" for i in range(9)]
IMAGES = torch.rand(2, 3, 32, 32)


def predictors(count):
    small = {"num_classes": count, "out_channels": 16}
    names = {"name": "runs/mine", "class_names": NAMES[:count]}
    look = Preprocessing(image_size=32)
    model = create_model("pvig_micro", num_classes=count)
    found = retinanet_pvig("micro", min_size=64, max_size=96, **small)
    return [
        ImageClassifier(model=model, preprocessing=look, **names),
        ObjectDetector(model=found, category_ids=list(range(count)), **names),
        SemanticSegmenter(
            model=semantic_fpn_pvig("micro", **small), preprocessing=SegmentationPreprocessing(), **names
        ),
    ]


@pytest.mark.parametrize("count", [1, 5, 9])
def test_the_text_is_short_and_has_name_classes_and_size(count):
    for one in predictors(count):
        text = repr(one)
        assert len(text) < 260 and "\n" not in text
        assert text.startswith(f"{type(one).__name__}(name='runs/mine', model=")
        assert f"{sum(p.numel() for p in one.model.parameters()):,} parameters" in text
        assert "'class 0'" in text and ("... 9 in all" in text) == (count > 5)
        assert re.search(r"(image|max)_size=", text)


@pytest.mark.parametrize(
    "function",
    [
        lambda one, path: to_onnx(one, path / "a.onnx"),
        lambda one, path: segmenter_to_onnx(one, path / "a.onnx"),
        lambda one, path: fuse(one),
        lambda one, path: explain.ExplainableViG(one, IMAGES),
        lambda one, path: explain.attribute(one, IMAGES[0]),
        lambda one, path: count_macs(one, (32, 32)),
        lambda one, path: torch.optim.SGD(one.parameters(), lr=0.1),
        lambda one, path: one.eval(),
        lambda one, path: one.to("cpu"),
        lambda one, path: one.state_dict(),
    ],
)
def test_a_predictor_in_place_of_its_network_is_told(function, tmp_path):
    for one in predictors(2):
        with pytest.raises(AttributeError, match=r"has: to a function for networks, pass predictor\.model instead"):
            function(one, tmp_path)
    assert not list(tmp_path.iterdir())


def test_unknown_attributes_are_python_s_and_copies_work():
    for one in predictors(2):
        assert not hasattr(one, "anything") and not hasattr(one, "__torch_function__")
        with pytest.raises(AttributeError, match=r"object has no attribute 'anything'$"):
            _ = one.anything
        for other in (copy.deepcopy(one), copy.copy(one), pickle.loads(pickle.dumps(one))):
            assert repr(other) == repr(one)


def test_load_tells_python_s_way_of_own_code(tmp_path):
    for options in ({"conv": int}, {"graph": int}, {"conv": int, "weight": 1}):
        with pytest.raises(
            TypeError, match=r"^vig_pyg\.load has no option .*; its options, for classifiers only, are weights"
        ) as error:
            vig_pyg.load(tmp_path, **options)
        for kind in ("conv", "graph"):
            assert (f"@vig_pyg.register_{kind}" in str(error.value)) == (kind in options)
        assert "load_classifier" not in str(error.value)
