import json
import shlex

import pytest
import torch

from vig_pyg import PyramidViG, backbones, create_model, mobilevig_tiny, weights
from vig_pyg._trained_backbone import check_weights, is_trained_model
from vig_pyg.artifact import write_config, write_weights
from vig_pyg.cli._detect_train import make_parser as make_detect_parser
from vig_pyg.cli._segment_train import make_parser as make_segment_parser
from vig_pyg.config import MODELS, ViGConfig, register_model, variant_config
from vig_pyg.detection import DETECTORS
from vig_pyg.detection.config import DetectionConfig
from vig_pyg.detection.load import load_detector
from vig_pyg.family_config import HybridViGConfig
from vig_pyg.preprocess import Preprocessing
from vig_pyg.segmentation import SEGMENTERS, SegmentationPreprocessing
from vig_pyg.segmentation.config import SegmentationConfig
from vig_pyg.segmentation.load import load_segmenter

HYBRID = {"channels": (8, 12, 16, 20), "local_depths": (1, 1, 1, 0), "graph_depths": (0, 1, 0, 1), "hops": (8, 4, 2, 1)}
PYRAMID = {"channels": (8, 12, 16, 20), "depths": (1, 1, 1, 2), "k": 3}
#: A small backbone of each family, by the name of a registered model and options.
FAMILIES = {
    "mobilevig_tiny": HYBRID,
    "greedyvig_small": HYBRID,
    "mobilevigv2_base": HYBRID,
    "wignet_small": {**PYRAMID, "window": 4},
    "pvig_medium": PYRAMID,
}
PYRAMIDS = [name for name in MODELS if not name.startswith("vig_")]
WIDTH = {"out_channels": 8}


def test_every_registered_pyramid_is_a_backbone():
    assert backbones.backbone_names() == ["micro", "tiny", "small", "medium", "base", *PYRAMIDS]
    assert len(PYRAMIDS) >= 19


@pytest.mark.parametrize("name", PYRAMIDS)
def test_every_pyramid_has_four_scales_on_each_task(name):
    """Built without memory, from the names of the command line."""
    with torch.device("meta"):
        detector = DETECTORS["retinanet"](name, num_classes=2)
        segmenter = SEGMENTERS["semantic_fpn"](name, num_classes=2)
    assert detector.config.backbone == segmenter.config.backbone == backbones.backbone_config(name, {})
    assert detector.backbone.strides == [8, 16, 32] or name == "pvig_micro"
    assert type(detector.backbone.body) is type(segmenter.body)
    for config in (DetectionConfig(train="a", val="b", model=name), SegmentationConfig(train="a", val="b", model=name)):
        assert backbones.backbone_config(config.variant, {}) == detector.config.backbone


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *(("retinanet", name) for name in FAMILIES),
        ("fasterrcnn", "greedyvig_small"),
        *(pytest.param("maskrcnn", name, marks=pytest.mark.slow) for name in FAMILIES),
    ],
)
def test_a_detector_of_each_family_trains_and_is_read_again(kind, name, tmp_path):
    torch.manual_seed(0)
    few = {f"rpn_{when}_nms_top_n_{mode}": 20 for when in ("pre", "post") for mode in ("train", "test")}
    how = {"num_classes": 2, "min_size": 64, "max_size": 96, **WIDTH, **FAMILIES[name]}
    model = DETECTORS[kind](name, **how, detector={} if kind == "retinanet" else few)
    images = [torch.rand(3, 70, 64), torch.rand(3, 64, 90)]
    target = {"boxes": torch.tensor([[4.0, 4, 40, 50]]), "labels": torch.tensor([1]), "masks": torch.ones(1, 70, 64)}
    other = {**target, "masks": torch.ones(1, 64, 90)}
    sum(model(images, [target, other]).values()).backward()
    unused = [key for key, p in model.backbone.body.named_parameters() if p.grad is None]
    assert not [key for key in unused if not key.endswith("relative_pos")]
    write(tmp_path, model, category_ids=[1, 2])
    read = load_detector(tmp_path).model
    assert type(read.backbone.body).__name__ == type(model.backbone.body).__name__
    equal(model.eval()(images), read(images))


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kind", SEGMENTERS)
def test_a_segmenter_of_each_family_is_ragged_and_is_read_again(name, kind, tmp_path):
    torch.manual_seed(0)
    model = SEGMENTERS[kind](name, num_classes=3, **WIDTH, **FAMILIES[name])
    images = [torch.rand(3, 70, 64), torch.rand(3, 33, 90), torch.rand(3, 5, 3)]
    sum(out.sum() for out in model(images[:2])["out"]).backward()
    preprocessing = {"image_size": None}
    write(tmp_path, model.eval(), names=["a", "b", "c"], preprocessing=preprocessing)
    read = load_segmenter(tmp_path).model
    together = model(images)["out"]
    for image, out in zip(images, together, strict=True):
        assert torch.allclose(model(image[None])["out"][0], out, atol=1e-5)
        assert torch.equal(read(image[None])["out"], model(image[None])["out"])


def write(folder, model, *, names=("a", "b"), **extra):
    from vig_pyg.artifact import describe, write_weights

    task, entry = describe(model)
    content = {"schema_version": 1, "task": task, "model": entry, "class_names": list(names), **extra}
    (folder / "config.json").write_text(json.dumps(content))
    write_weights(folder, model.state_dict())


def equal(first, second):
    for one, two in zip(first, second, strict=True):
        assert all(torch.equal(value, two[key]) for key, value in one.items())


def test_the_options_of_files_are_those_of_the_family():
    options = {**HYBRID, "out_channels": 16}
    for kind in (DetectionConfig, SegmentationConfig):
        config = kind(train="a", val="b", model="greedyvig_small", options=options)
        assert config.options == options
        for wrong, message in (
            (
                {"depths": (1, 1, 1, 1)},
                r"greedyvig_small has no option depths\. Did you mean 'local_depths'\? Choose from ",
            ),
            ({"channels": (8, 8, 8)}, "need one entry for each stage"),
            ({"window": 3}, "no option window"),
            ({"distillation": True}, "distillation"),
            ({"hops": (0, 1, 1, 1)}, "hops"),
        ):
            with pytest.raises(ValueError, match=message):
                kind(train="a", val="b", model="greedyvig_small", options=wrong)
        with pytest.raises(ValueError, match=r"model must be one of micro.*greedyvig_base.*got 'vig_tiny'"):
            kind(train="a", val="b", model="vig_tiny")


def test_the_search_for_neighbors_is_that_of_any_size():
    assert backbones.backbone_config("wignet_tiny", {}).graph == "window"
    assert backbones.backbone_config("mobilevig_tiny", {"graph": "knn"}).knn_engine == "dense"
    assert backbones.backbone_config("mobilevig_tiny", {}).knn_engine == "auto"
    assert backbones.backbone_config("wignet_tiny", {"graph": "knn"}).position == "grid"
    assert backbones.backbone_config("pvig_tiny", {"position": None}).position is None
    mixed = backbones.backbone_config("pvig_tiny", {"graph": ("axial", "window", "knn", "knn")})
    assert (mixed.position, mixed.knn_engine) == ("grid", "dense")


def test_a_model_registered_later_is_a_backbone():
    register_model("greedyvig_road", variant_config("greedyvig_small").override(HYBRID))
    try:
        assert SEGMENTERS["semantic_fpn"]("greedyvig_road", num_classes=2, **WIDTH).body.config.channels[0] == 8
        assert SegmentationConfig(train="a", val="b", model="greedyvig_road").variant == "greedyvig_road"
    finally:
        MODELS.remove("greedyvig_road")
    with pytest.raises(ValueError, match="Unknown backbone 'greedyvig_road'"):
        backbones.backbone_config("greedyvig_road", {})


@pytest.mark.parametrize("wrong", [3, None, ViGConfig(depth=1, channels=8)])
def test_what_has_no_stages_is_refused(wrong):
    with pytest.raises(TypeError, match="width for each stage"):
        backbones.backbone_config(wrong, {})


@pytest.mark.parametrize("family", ["ViG", "VisionGNN", "Resnet", "os:system", 3, None, ["WiGNet"]])
def test_a_family_in_a_file_must_be_a_pyramid_of_this_library(family):
    entry = {**backbones.describe(backbones.backbone_config("micro", {})), "family": family}
    with pytest.raises((ValueError, TypeError)):
        backbones.read(entry, "config.json: model: backbone")


def test_files_of_before_are_read():
    """Their backbones have no family; new files of Pyramid ViG have none either, so older code reads them."""
    config = backbones.backbone_config("micro", {"k": 5})
    entry = backbones.describe(config)
    assert "family" not in entry and backbones.read(json.loads(json.dumps(entry)), "here") == config
    other = backbones.backbone_config("mobilevigv2_tiny", {})
    assert isinstance(other, HybridViGConfig)
    assert backbones.read(json.loads(json.dumps(backbones.describe(other))), "here") == other


def test_classification_weights_of_the_family_are_loaded():
    small = {key: HYBRID[key] for key in HYBRID}
    source = mobilevig_tiny(**small, num_classes=7)
    body = SEGMENTERS["semantic_fpn"](
        "mobilevig_tiny", num_classes=2, **WIDTH, **small, weights_backbone=source.state_dict()
    ).body
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in body.state_dict().items())
    with pytest.raises(ValueError, match="do not fit"):
        SEGMENTERS["semantic_fpn"]("mobilevig_tiny", num_classes=2, weights_backbone=PyramidViG("micro").state_dict())


BUILDERS = [*DETECTORS.values(), *SEGMENTERS.values()]


def body_of(model):
    return model.backbone.body if hasattr(model, "backbone") else model.body


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("build", [DETECTORS["retinanet"], SEGMENTERS["semantic_fpn"]])
def test_a_backbone_starts_from_the_folder_of_a_classifier(tmp_path, name, build):
    source = create_model(name, num_classes=7, **FAMILIES[name])
    source.save_pretrained(tmp_path / "mine")
    start = str(tmp_path / "mine") if build is DETECTORS["retinanet"] else tmp_path / "mine"
    body = body_of(build(name, num_classes=2, **WIDTH, **FAMILIES[name], weights_backbone=start))
    assert len(state := body.state_dict()) > 20
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in state.items())


@pytest.mark.parametrize("build", BUILDERS)
def test_a_backbone_starts_from_a_classifier_on_the_hub(tmp_path, monkeypatch, build):
    source = create_model("pvig_micro", num_classes=7)
    source.save_pretrained(tmp_path)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda repo, name: str(tmp_path / name))
    body = body_of(build("micro", num_classes=2, **WIDTH, weights_backbone="somebody/my-vig"))
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in body.state_dict().items())


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vig_micro", {}, "it is a ViG, which has a single scale, so it cannot be a backbone: train a classifier that"),
        (
            "mobilevig_tiny",
            HYBRID,
            "it is a MobileViG, and this is a PyramidViG. Choose its --model and options: --model ",
        ),
        ("pvig_micro", {"channels": (8, 12, 16, 20)}, "it has channels=[8, 12, 16, 20]. Choose the same --model"),
        (
            "pvig_micro",
            {"conv": "gin"},
            "it has conv=gin. Choose the same --model and options: --model pvig_micro --conv gin.",
        ),
        ("pvig_micro", {"k": 5}, "it has k=5. Choose the same --model and options: --model pvig_micro --k 5."),
    ],
)
def test_a_classifier_of_another_architecture_is_described(tmp_path, build, name, options, words):
    create_model(name, num_classes=2, **options).save_pretrained(tmp_path / "mine")
    with pytest.raises(ValueError, match="mine has another architecture than this backbone") as error:
        build("micro", num_classes=2, **WIDTH, weights_backbone=tmp_path / "mine")
    assert words in str(error.value)
    assert ("Choose" in str(error.value)) == (name != "vig_micro")


LIKE = [
    ("pvig_micro", {"patch_size": 4, "depths": (2, 2, 4, 2), "channels": (8, 16, 16, 24)}),
    ("pvig_micro", {"conv": "edge", "k": 7, "graph": "grid"}),
    ("pvig_micro", {"graph": ("cross", "knn", "knn", "grid"), "dilation": False, "ffn_ratio": 2}),
    ("pvig_micro", {"k": (3, 6), "channels": (8, 8, 16, 16), "reduce_ratios": (2, 2, 1, 1)}),
    ("mobilevig_tiny", HYBRID),
]


@pytest.mark.parametrize(("name", "options"), LIKE)
@pytest.mark.parametrize("task", ["detect", "segment"])
def test_the_flags_of_the_advice_start_without_a_remark_on_what_is_forced(tmp_path, caplog, name, options, task):
    create_model(name, num_classes=2, **options).save_pretrained(tmp_path / "mine")
    build = (DETECTORS["retinanet"] if task == "detect" else SEGMENTERS["semantic_fpn"], "tiny")
    with pytest.raises(ValueError, match="another architecture") as error:
        build[0](build[1], num_classes=2, **WIDTH, weights_backbone=tmp_path / "mine")
    told = str(error.value).partition("and options: ")[2].partition(". ")[0]
    parser = make_detect_parser() if task == "detect" else make_segment_parser()
    values = parser.parse_flags(shlex.split(told.removesuffix(".")))
    assert values.pop("model") == name
    chosen = {key.removeprefix("options."): value for key, value in values.items()}
    body = body_of(build[0](name, num_classes=2, **WIDTH, **chosen, weights_backbone=tmp_path / "mine"))
    assert len(body.state_dict()) > 20
    assert "a state dict" not in caplog.text and "position=" not in caplog.text
    assert not caplog.records  # every backbone is without a classifier


def test_what_is_no_classifier_starts_no_backbone(tmp_path):
    build = SEGMENTERS["semantic_fpn"]
    network = build("micro", num_classes=2, **WIDTH)
    write_config(tmp_path, network, class_names=["road", "sky"], preprocessing=SegmentationPreprocessing())
    write_weights(tmp_path, network.state_dict())
    with pytest.raises(ValueError, match=r"is a model for semantic-segmentation, but a backbone starts from a classif"):
        build("micro", num_classes=2, **WIDTH, weights_backbone=tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"{}")
    write_config(tmp_path, create_model("pvig_micro"))
    with pytest.raises(ValueError, match=r"model\.safetensors") as error:
        build("micro", num_classes=2, **WIDTH, weights_backbone=tmp_path)
    assert "architecture" not in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no config\.json"):
        build("micro", num_classes=2, **WIDTH, weights_backbone=tmp_path / "empty")


def test_a_classifier_trained_with_other_pixels_is_mentioned(tmp_path, caplog):
    source = create_model("pvig_micro", num_classes=2)
    for i, mean in enumerate((0.5, 0.4)):
        source.preprocessing = Preprocessing(image_size=32, mean=mean, std=0.5)
        source.save_pretrained(tmp_path / str(i))
        SEGMENTERS["semantic_fpn"]("micro", num_classes=2, **WIDTH, weights_backbone=tmp_path / str(i))
        assert ("1 was trained with the mean 0.4" in caplog.text) == (mean == 0.4)


@pytest.mark.parametrize("source", ["nowhere/mine.pth", "nowhere.safetensors", "runs.pt"])
def test_a_missing_file_is_not_looked_up_on_the_hub(source):
    assert not is_trained_model(source)
    with pytest.raises(FileNotFoundError, match="no weight file"):
        check_weights(source)
    for other in ("imagenet1k", "somebody/my-vig", None, {}):
        check_weights(other)


@pytest.mark.parametrize(("name", "options"), LIKE)
@pytest.mark.parametrize("build", BUILDERS)
def test_a_backbone_without_a_name_is_like_its_classifier(tmp_path, caplog, build, name, options):
    source = create_model(name, num_classes=2, image_size=64, head_channels=16, **options)
    source.save_pretrained(tmp_path / "mine")
    body = body_of(build(num_classes=2, **WIDTH, weights_backbone=tmp_path / "mine", drop_path_rate=0.25))
    assert type(body) is type(source) and body.config.shape == source.config.shape and body.config.image_size == 64
    assert body.config.drop_path_rate == 0.25
    if name == "pvig_micro":
        assert body.config.position == backbones.backbone_config(name, options).position
    assert all(torch.equal(tensor, source.state_dict()[key]) for key, tensor in body.state_dict().items())
    assert not caplog.records


@pytest.mark.parametrize("build", BUILDERS)
def test_the_name_of_a_backbone_is_tiny_by_default(build):
    with torch.device("meta"):
        assert body_of(build(num_classes=2)).config.channels == MODELS["pvig_tiny"].channels


@pytest.mark.parametrize("build", BUILDERS)
def test_own_options_come_before_those_of_the_classifier(tmp_path, caplog, build):
    create_model("pvig_micro", num_classes=2, k=5, epsilon=0.1).save_pretrained(tmp_path / "mine")
    body = body_of(build(num_classes=2, **WIDTH, weights_backbone=tmp_path / "mine", k=4))
    assert (body.config.k, body.config.epsilon) == (4, 0.1)
    assert "trained with k=5, but this model has 4" in caplog.text
    with pytest.raises(ValueError, match="another architecture"):
        build(num_classes=2, **WIDTH, weights_backbone=tmp_path / "mine", channels=(8, 8, 8, 8))


@pytest.mark.parametrize("build", [DETECTORS["retinanet"], SEGMENTERS["upernet"]])
def test_a_classifier_without_stages_names_no_backbone(tmp_path, build):
    create_model("vig_micro", num_classes=2).save_pretrained(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"mine is a ViG, which has a single scale, .* pass its folder"):
        build(num_classes=2, weights_backbone=tmp_path / "mine")
    content = json.loads((tmp_path / "mine" / "config.json").read_text())
    content["model"] = {"family": "Mine"}
    (tmp_path / "mine" / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="mine is a Mine, but no model of this family is registered"):
        build(num_classes=2, weights_backbone=tmp_path / "mine")


@pytest.mark.parametrize("build", [DETECTORS["retinanet"], SEGMENTERS["semantic_fpn"]])
@pytest.mark.parametrize("format", ["native", "official"])
def test_a_file_of_weights_causes_no_remark_on_what_every_backbone_is(caplog, build, format):
    state = weights.convert(create_model("pvig_micro", num_classes=2), format)
    build("micro", num_classes=2, **WIDTH, weights_backbone=state)
    assert not caplog.records
    build("micro", num_classes=2, **WIDTH, weights_backbone=state, image_size=64)
    assert "The position embedding was resized" in caplog.text
