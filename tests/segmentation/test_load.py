import json

import numpy as np
import pytest
import torch
from PIL import Image

from tests.segmentation.common import NAMES, segmenter, settled
from vig_pyg import load
from vig_pyg.artifact import write_config, write_weights
from vig_pyg.segmentation.load import load_segmenter
from vig_pyg.segmentation.preprocess import SegmentationPreprocessing

PLAIN = SegmentationPreprocessing()
CLASSES = ["sky", "road", "tree"]


def saved(folder, name="semantic_fpn", preprocessing=PLAIN, **options):
    model = settled(segmenter(name, **options))
    folder.mkdir(exist_ok=True)
    write_config(folder, model, class_names=CLASSES, preprocessing=preprocessing)
    write_weights(folder, model.state_dict())
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("segmenter")
    saved(root)
    return root


def change(folder, tmp_path, act):
    """A copy of the folder with another configuration."""
    content = json.loads((folder / "config.json").read_text())
    act(content)
    (tmp_path / "config.json").write_text(json.dumps(content))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_labels_images(tmp_path, name):
    model = saved(tmp_path / "run", name, SegmentationPreprocessing(image_size=40))
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = load(tmp_path / "run")
    assert found.classes == CLASSES and found.preprocessing.image_size == 40
    one = found(tmp_path / "a.png")
    assert one["labels"].shape == one["scores"].shape == (50, 70) and one["labels"].dtype == torch.uint8
    with torch.inference_mode():
        logits = model(found.preprocessing(Image.open(tmp_path / "a.png"))[None])["out"].softmax(1)
    want = torch.nn.functional.interpolate(logits, (50, 70), mode="bilinear")[0].max(0)
    torch.testing.assert_close(one["scores"], want.values)
    assert (one["labels"] == want.indices).float().mean() > 0.999
    for same in (str(tmp_path / "a.png"), Image.open(tmp_path / "a.png"), pixels):
        assert torch.equal(found(same)["labels"], one["labels"])
    several = found([pixels, Image.new("L", (20, 90))], flip=True, window=(32, 32), stride=(16, 20))
    assert [tuple(part["labels"].shape) for part in several] == [(50, 70), (90, 20)]
    with pytest.raises(ValueError, match="at least one image"):
        found([])
    with pytest.raises(TypeError, match="is a segmentation network, which has no option image_size"):
        load(tmp_path / "run", image_size=3)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda c: c.pop("class_names"), "'class_names' is missing"),
        (lambda c: c.pop("preprocessing"), "'preprocessing' is missing"),
        (lambda c: c["class_names"].append("more"), "4 class_names, but num_classes=3"),
        (lambda c: c["model"].update(segmenter="fcn"), "segmenter"),
        (lambda c: c["model"].pop("backbone"), "backbone"),
        (lambda c: c["model"]["options"].update(out_channels=0), "out_channels"),
        (lambda c: c["model"]["options"].update(out_channels=4096), "do not belong together|does not fit"),
        (lambda c: c["model"]["backbone"].update(in_channels=1), "in color"),
        (lambda c: c["model"]["backbone"].update(conv="os:system"), "never imported"),
        (lambda c: c["model"]["backbone"].update(depths=[1, 1, 500, 500]), "blocks"),
        (lambda c: c["preprocessing"].update(image_size=0), "image_size"),
        (lambda c: c.update(task="object-detection"), "of a detector; use `vig-pyg detect`"),
        (lambda c: c.update(task="image-classification"), "of a classifier; use `vig-pyg predict`"),
        (lambda c: c.update(task="else"), "task"),
    ],
)
def test_wrong_configurations_are_refused_with_the_file(folder, tmp_path, act, message):
    with pytest.raises(ValueError, match=message) as error:
        load_segmenter(change(folder, tmp_path, act))
    assert "config.json" in str(error.value)


def test_weights_of_another_network_are_refused(folder, tmp_path):
    saved(tmp_path, patch_size=4)
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit config\.json"):
        load(tmp_path)


def test_the_other_doors_say_where_to_go(folder):
    from vig_pyg.classification import load_classifier
    from vig_pyg.detection.load import load_detector

    with pytest.raises(ValueError, match="of a segmentation network; use `vig-pyg segment`"):
        load_classifier(folder)
    with pytest.raises(ValueError, match="of a segmentation network; use `vig-pyg segment`"):
        load_detector(folder)


def test_a_folder_is_converted_to_the_current_form(folder, tmp_path):
    from vig_pyg.cli import main

    assert main(["convert", str(folder), str(tmp_path / "again")]) == 0
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_a_run_without_an_epoch_is_not_there_yet(folder, tmp_path):
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    with pytest.raises(FileNotFoundError, match="no epoch of this run is finished"):
        load_segmenter(tmp_path)
    (tmp_path / "best.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert load_segmenter(tmp_path).classes == CLASSES
