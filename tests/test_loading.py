"""One way to any trained model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tests.common import calibrated
from vig_pyg import load, pvig_micro
from vig_pyg.artifact import write_config, write_weights
from vig_pyg.detection import DETECTORS
from vig_pyg.preprocess import Preprocessing
from vig_pyg.segmentation import SegmentationPreprocessing, semantic_fpn_pvig

#: What trains, and what the hub needs: none of it is there where a model is only used.
BLOCKED = ["lightning", "timm", "torchmetrics", "sklearn", "rich", "huggingface_hub", "pycocotools", "jsonargparse"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A classifier, a detector and a segmentation network, each in its folder, and an image."""
    home = tmp_path_factory.mktemp("models")
    model = calibrated(pvig_micro(num_classes=2))
    (home / "classifier").mkdir()
    write_config(home / "classifier", model, class_names=["cat", "dog"], preprocessing=Preprocessing(image_size=32))
    write_weights(home / "classifier", model.state_dict())
    detector = DETECTORS["retinanet"](
        "micro", num_classes=2, min_size=48, max_size=64, out_channels=16, detector={"score_thresh": 0.0}
    )
    (home / "detector").mkdir()
    write_config(home / "detector", detector, class_names=["blue", "red"], category_ids=[3, 7])
    write_weights(home / "detector", detector.state_dict())
    segmenter = semantic_fpn_pvig("micro", num_classes=2, out_channels=16)
    (home / "segmenter").mkdir()
    write_config(home / "segmenter", segmenter, class_names=["sky", "road"], preprocessing=SegmentationPreprocessing())
    write_weights(home / "segmenter", segmenter.state_dict())
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(home / "image.png")
    return home


def forms(home):
    image = Image.open(home / "image.png")
    pixels = np.array(image)
    return [home / "image.png", str(home / "image.png"), image, pixels, torch.tensor(pixels).permute(2, 0, 1)]


def test_a_classifier_is_called_on_any_image(folders):
    classifier = load(folders / "classifier")
    assert classifier.classes == ["cat", "dog"] and classifier.preprocessing == Preprocessing(image_size=32)
    first, *others = [classifier(one) for one in forms(folders)]
    assert first.path == folders / "image.png" and sum(first.probabilities) == pytest.approx(1)
    assert all((one.names, one.probabilities) == (first.names, first.probabilities) for one in others)
    many = classifier([folders / "image.png", Image.new("L", (90, 35))], topk=1)
    assert [len(one.names) for one in many] == [1, 1] and many[0].names[0] == first.names[0]
    assert len(classifier(torch.rand(3, 3, 20, 30))) == 3
    for images, topk in ([], 1), (folders / "image.png", 0):
        with pytest.raises(ValueError, match=r"Expected at least one image and topk >= 1"):
            classifier(images, topk=topk)
    with pytest.raises(FileNotFoundError, match="There is no image at"):
        classifier(folders / "none.png")


def test_a_detector_is_called_on_any_image(folders):
    detector = load(folders / "detector")
    assert detector.classes == ["blue", "red"] and detector.category_ids == [3, 7]
    assert detector.preprocessing is detector.model.transform
    first, *others = [detector(one, threshold=0) for one in forms(folders)]
    assert len(first["boxes"]) and set(first["labels"].tolist()) <= {1, 2}
    assert all(torch.equal(one[key], first[key]) for one in others for key in first)
    found = detector([folders / "image.png", torch.rand(3, 30, 60)], threshold=1)
    assert [len(one["boxes"]) for one in found] == [0, 0]
    with pytest.raises(ValueError, match="Expected at least one image"):
        detector([])
    with pytest.raises(TypeError, match="is a detector, which has no option image_size"):
        load(folders / "detector", image_size=64)


def test_a_segmentation_network_is_called_on_any_image(folders):
    segmenter = load(folders / "segmenter")
    assert segmenter.classes == ["sky", "road"] and segmenter.preprocessing == SegmentationPreprocessing()
    first, *others = [segmenter(one) for one in forms(folders)]
    assert first["labels"].shape == (40, 50) and all(torch.equal(one["labels"], first["labels"]) for one in others)


def test_using_a_model_needs_nothing_that_trains(folders):
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({BLOCKED!r}))\n"  # an import of it is an ImportError now
        "import vig_pyg\n"
        f"home = {str(folders)!r}\n"
        "classifier, detector = vig_pyg.load(home + '/classifier'), vig_pyg.load(home + '/detector')\n"
        "print(classifier(home + '/image.png').names, sorted(detector(home + '/image.png')))\n"
        "print(sorted(vig_pyg.load(home + '/segmenter')(home + '/image.png')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("['boxes', 'labels', 'scores']\n['labels', 'scores']\n") and "cat" in done.stdout


def test_a_name_on_the_hub_is_asked_for(folders, monkeypatch):
    import huggingface_hub

    asked = []

    def answer(repo, name, **_):
        asked.append((repo, name))
        return str(folders / repo.split("/")[1] / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    assert load("somebody/classifier").classes == ["cat", "dog"]
    assert load("somebody/detector").classes == ["blue", "red"]
    assert load("somebody/segmenter").classes == ["sky", "road"]
    assert {repo for repo, _ in asked} == {"somebody/classifier", "somebody/detector", "somebody/segmenter"}


def test_the_other_task_s_door_says_where_to_go(folders, tmp_path):
    from vig_pyg.classification import load_classifier
    from vig_pyg.detection.load import load_detector

    with pytest.raises(ValueError, match="it is that of a detector; use `vig-pyg detect`"):
        load_classifier(folders / "detector")
    with pytest.raises(ValueError, match="it is that of a classifier; use `vig-pyg predict`"):
        load_detector(folders / "classifier")
    (tmp_path / "config.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"config\.json is not the configuration of a model: it has no entry"):
        load(tmp_path)
