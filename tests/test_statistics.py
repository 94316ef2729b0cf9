"""Each family has the mean and the standard deviation of its published weights, in every command."""

import json

import pytest
import torch
import yaml

from tests.images import make_folder
from vig_pyg import create_model, list_models, mobilevig_tiny
from vig_pyg.artifact import write_config
from vig_pyg.classification import load_classifier, load_config, load_data, to_yaml
from vig_pyg.cli.segment import make_parser as segment_parser
from vig_pyg.cli.train import make_parser
from vig_pyg.config import variant_config
from vig_pyg.config_schema import read_preprocessing
from vig_pyg.detection import DETECTORS
from vig_pyg.image_io import read_image
from vig_pyg.interchange import default_preprocessing, pretrained_config, statistics_of
from vig_pyg.preprocess import Preprocessing
from vig_pyg.segmentation import SegmentationPreprocessing
from vig_pyg.segmentation.config import SegmentationConfig
from vig_pyg.segmentation.config import make_config as segment_config
from vig_pyg.segmentation.preprocess import read_preprocessing as read_segmentation

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {"channels": (8, 12, 16, 20), "local_depths": (1, 1, 1, 0), "graph_depths": (0, 0, 0, 1)}


def expected(name):
    return (0.5, 0.5) if name.startswith(("vig_", "pvig_", "wignet_")) else IMAGENET


@pytest.mark.parametrize("name", list_models())
def test_every_network_has_the_statistics_of_its_family(name):
    config = variant_config(name)
    mean, std = expected(name)
    assert statistics_of(config) == statistics_of(type(config)) == (mean, std)
    made = default_preprocessing(config)
    assert (made.mean, made.std) == (mean, std)
    listed = [[0.5] * 3] * 2 if mean == 0.5 else [list(mean), list(std)]
    found = pretrained_config(config)
    assert [found["mean"], found["std"]] == listed
    gray = pretrained_config(config.override({"in_channels": 1}))
    assert gray["mean"] == pytest.approx([sum(listed[0]) / 3])
    if not name.startswith("vig_"):
        with torch.device("meta"):
            transform = DETECTORS["retinanet"](name, num_classes=1).transform
        assert [transform.image_mean, transform.image_std] == listed
        look = SegmentationConfig(train="a", val="b", model=name).preprocessing
        assert (look.mean, look.std) == (mean, std)


def test_a_detector_has_the_given_statistics():
    given = {"image_mean": (0.1, 0.2, 0.3), "image_std": (1, 2, 3)}
    transform = DETECTORS["retinanet"]("mobilevig_tiny", num_classes=1, **SMALL, **given).transform
    assert (transform.image_mean, transform.image_std) == ([0.1, 0.2, 0.3], [1, 2, 3])


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ({"model": "mobilevig_tiny"}, IMAGENET[0]),
        ({"model": "wignet_tiny"}, 0.5),
        ({"model": "mobilevig_tiny", "mean": 0.5, "std": 0.5}, 0.5),
        ({"model": "pvig_micro", "mean": [0.1, 0.2, 0.3]}, (0.1, 0.2, 0.3)),
        ({"model": "mobilevig_tiny", "in_channels": 1}, pytest.approx(0.449)),
    ],
)
@pytest.mark.parametrize("cache", [None, 32])
def test_training_normalizes_and_its_folder_is_read(tmp_path, values, mean, cache):
    root = make_folder(tmp_path / "images")
    config = load_config("scratch", ("test", {"data": str(root), "image_size": 32, "cache": cache, **values}))
    data = load_data(config)
    data.setup("fit")
    made = data.preprocessing
    assert made.mean == mean
    images, again = data.val_set[0][0], load_data(config).val_set
    first = again.image(0)
    torch.testing.assert_close(images, made(first))
    assert data.train_set.transform.preprocessing == made
    options = SMALL if values["model"] == "mobilevig_tiny" else {}
    model = create_model(values["model"], num_classes=3, in_channels=made.in_channels, image_size=32, **options)
    data.write_config(tmp_path, model)
    content = json.loads((tmp_path / "config.json").read_text())
    assert read_preprocessing(content["preprocessing"], "here") == made
    assert content["pretrained_cfg"]["mean"] == pytest.approx(
        list(mean) if isinstance(mean, tuple) else [made.mean] * made.in_channels
    )
    text = to_yaml(config)
    assert load_config("scratch", ("again", yaml.safe_load(text))) == config


def test_a_saved_network_without_a_record_has_those_of_its_family(tmp_path):
    model = mobilevig_tiny(num_classes=2, image_size=32, **SMALL).eval()
    model.save_pretrained(tmp_path / "plain")
    found = load_classifier(tmp_path / "plain")
    assert (found.preprocessing.mean, found.preprocessing.std) == IMAGENET
    (tmp_path / "old").mkdir()
    model.save_pretrained(tmp_path / "old")
    write_config(tmp_path / "old", model, preprocessing=Preprocessing(image_size=32))  # a run of before
    found = load_classifier(tmp_path / "old")
    assert (found.preprocessing.mean, found.preprocessing.std) == (0.5, 0.5)


def test_prediction_is_that_of_normalized_images(tmp_path):
    torch.manual_seed(0)
    model = mobilevig_tiny(num_classes=5, image_size=32, **SMALL).eval()
    model.save_pretrained(tmp_path / "saved")
    root = make_folder(tmp_path / "images")
    file = next(root.rglob("*.png"))
    mean, std = (torch.tensor(one)[:, None, None] for one in IMAGENET)
    plain = Preprocessing(image_size=32, mean=0, std=1)(read_image(file))
    with torch.no_grad():
        want = model(((plain - mean) / std)[None]).softmax(1)[0].sort(descending=True).values
    found = load_classifier(tmp_path / "saved")(file, topk=5)
    assert found.probabilities == pytest.approx(want.tolist(), rel=1e-4)


def test_numbers_on_the_command_line_and_in_files():
    flags = ["--mean", "[0.1,0.2,0.3]", "--std", "0.25"]
    assert make_parser().parse_flags(flags)["std"] == 0.25
    config = load_config("scratch", ("flags", make_parser().parse_flags(flags)))
    assert (config.mean, config.std) == ([0.1, 0.2, 0.3], 0.25)
    of_segment = segment_config(("flags", {"train": "a", "val": "b", **segment_parser().parse_flags(flags)}))
    assert of_segment.preprocessing == SegmentationPreprocessing(mean=(0.1, 0.2, 0.3), std=0.25)
    for wrong in ({"mean": [0.5, "x"]}, {"std": 0}, {"std": [0.2, 0.0, 0.2]}, {"mean": []}, {"std": True}):
        name = next(iter(wrong))
        with pytest.raises(ValueError, match=name):
            load_config("scratch", ("file", wrong))
        with pytest.raises(ValueError, match=name):
            segment_config(("file", {"train": "a", "val": "b", **wrong}))


def test_a_segmentation_network_keeps_its_statistics():
    look = SegmentationPreprocessing(image_size=40, mean=IMAGENET[0], std=IMAGENET[1])
    entry = json.loads(json.dumps({"image_size": 40, "mean": IMAGENET[0], "std": IMAGENET[1]}))
    assert read_segmentation(entry, "here") == look
    assert read_segmentation({"image_size": None, "mean": 0.5, "std": 0.5}, "here") == SegmentationPreprocessing()
    pixels = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8)
    torch.testing.assert_close(look.restore(look.of_pixels(pixels)), pixels / 255)
    with pytest.raises(ValueError, match="mean"):
        SegmentationPreprocessing(mean=(0.5, 0.5))


def test_other_statistics_than_those_of_the_weights_are_logged(tmp_path, caplog):
    root = make_folder(tmp_path / "images")
    config = load_config("scratch", ("test", {"data": str(root), "image_size": 32, "batch_size": 4}))
    data = load_data(config)
    model = create_model("pvig_micro", num_classes=len(data.class_names))
    data.check(model, config, world=1)
    assert not caplog.text
    model.preprocessing = Preprocessing(image_size=32, mean=IMAGENET[0], std=IMAGENET[1])
    data.check(model, config, world=1)
    assert "were trained with the mean (0.485, 0.456, 0.406)" in caplog.text
    data.normalize(*IMAGENET)
    caplog.clear()
    data.check(model, config, world=1)
    assert not caplog.text
