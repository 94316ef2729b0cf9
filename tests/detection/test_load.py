import json
import random

import pytest
import torch

from tests.detection.common import detector
from tests.mutations import mutated, mutated_text
from vig_pyg import PyramidViGConfig
from vig_pyg.artifact import BEST, CONFIG, WEIGHTS, write_config, write_weights
from vig_pyg.config import PYRAMID_VIG_VARIANTS
from vig_pyg.detection import DETECTORS
from vig_pyg.detection.builders import detector_config
from vig_pyg.detection.load import load_detector, read_detector

#: Options that a detector can be made with; each is drawn or left at its default.
OPTIONS = {
    "norm": ["frozen", "batch"],
    "trainable_layers": [0, 2, 5],
    "anchor_scale": [2.0, 3.5],
    "min_size": [48, [32, 48]],
    "image_mean": [[0.1, 0.2, 0.3]],
    "k": [3, (3, 5)],
    "conv": ["edge", "gin", "sage"],
    "graph": ["knn", "window", "axial", "grid"],
    "drop_path_rate": [0.1],
    "depths": [(1, 1, 1, 1)],
}


def saved(folder, model):
    folder.mkdir(exist_ok=True)
    write_config(folder, model, class_names=["a", "b", "c"], category_ids=[3, 7, 9])
    write_weights(folder, model.state_dict())
    return folder


@pytest.mark.parametrize("seed", range(12))
def test_a_detector_comes_back_as_it_was(tmp_path, seed):
    draw = random.Random(seed)
    options = {name: draw.choice(values) for name, values in OPTIONS.items() if draw.random() < 0.4}
    name = draw.choice(list(DETECTORS))
    if draw.random() < 0.3:
        variant = PYRAMID_VIG_VARIANTS["micro"].override({"graph": "axial"})
        model = DETECTORS[name](variant, num_classes=3, min_size=48, max_size=64, out_channels=16)
    else:
        model = detector(name, **options)
    found = load_detector(saved(tmp_path / "run", model.eval()))
    assert json.dumps(found.model.config.to_json()) == json.dumps(model.config.to_json())
    assert (found.class_names, found.category_ids, found.masks) == (["a", "b", "c"], [3, 7, 9], name == "maskrcnn")
    image = torch.rand(3, 40, 50)
    with torch.inference_mode():
        (one,), (two,) = model([image]), found.model([image])
    assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
    assert [p.requires_grad for p in found.model.parameters()] == [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("weights", [None, "imagenet1k"])
def test_run_folders_of_the_first_form_are_read(tmp_path, weights, monkeypatch):
    options = {"min_size": 48, "max_size": 64, "out_channels": 16, "k": [3, 5], "weights_backbone": weights}
    config = detector_config("fasterrcnn", "micro", {**options, "k": (3, 5), "num_classes": 2})
    assert config.options.norm == ("frozen" if weights else "batch") and config.options.weights_backbone is None
    monkeypatch.setattr("socket.socket.connect", None)  # nothing is fetched
    model = config.build().eval()
    content = {"kind": "detector", "train": "a", "val": "b", "detector": "fasterrcnn", "variant": "micro"}
    content |= {"options": options, "recipe": {"epochs": 2}, "class_names": ["a", "b"], "category_ids": [1, 2]}
    (tmp_path / CONFIG).write_text(json.dumps(content))
    write_weights(tmp_path, model.state_dict())
    found, image = load_detector(tmp_path), torch.rand(3, 40, 50)
    with torch.inference_mode():
        (one,), (two,) = model([image]), found.model([image])
    assert all(torch.equal(one[key], two[key]) for key in one) and found.model.config == config
    for change, words in [
        ({"detector": "yolo"}, "detector must be one of retinanet, fasterrcnn, maskrcnn"),
        ({"variant": "huge"}, "variant must be one of"),
        ({"options": {"kk": 3}}, "options: unknown entry 'kk'"),
        ({"options": 3}, "options must be a mapping from keys to values"),
        ({"options": {"graph": "complete", "max_size": 5000}}, "edges of one image are refused"),
        ({"category_ids": [3, 3]}, "category_ids must have one unique number"),
    ]:
        (tmp_path / CONFIG).write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=rf"config\.json is not the configuration of a detector: .*{words}"):
            load_detector(tmp_path)


def test_hostile_configurations_are_refused_before_anything_is_built(tmp_path):
    """300 files of changed entries and of changed text."""
    path = saved(tmp_path / "run", detector("fasterrcnn", detector={"box_score_thresh": 0.1})) / CONFIG
    good, draw, refused = json.loads(path.read_text()), random.Random(0), 0
    for turn in range(300):
        text = mutated_text(good, draw) if turn % 2 else json.dumps(mutated(good, draw))
        path.write_text(text, errors="surrogatepass")
        try:
            config, names, ids = read_detector(path)
        except ValueError as error:
            assert CONFIG in str(error) and str(error).isprintable() and len(str(error)) < 1500
            refused += 1
        else:
            assert isinstance(config.backbone, PyramidViGConfig) and len(names) == len(ids)
    assert refused > 150


def test_weights_of_another_detector_do_not_fit(tmp_path):
    saved(tmp_path / "one", detector("retinanet"))
    saved(tmp_path / "two", detector("fasterrcnn"))
    (tmp_path / "one" / WEIGHTS).replace(tmp_path / "two" / WEIGHTS)
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit config\.json beside it"):
        load_detector(tmp_path / "two")
    with pytest.raises(FileNotFoundError, match=r"has no model\.safetensors yet: no epoch of this run is finished"):
        load_detector(tmp_path / "one")


def test_a_run_in_progress_is_said_to_be_one(tmp_path, caplog):
    saved(tmp_path / "run", detector("retinanet"))
    load_detector(tmp_path / "run")
    assert not caplog.messages
    (tmp_path / "run" / WEIGHTS).rename(tmp_path / "run" / BEST)
    load_detector(tmp_path / "run")
    assert caplog.messages == [
        f"The training of {tmp_path / 'run'} has not ended: these are the weights of its best epoch so far."
    ]


def test_images_are_detected_in_batches_and_mirrored(trained):
    run = load_detector(trained[0])
    files = sorted((trained[1].parent / "images").iterdir())
    alone, together = run(files, threshold=0.02), run(files, threshold=0.02, batch_size=3)
    assert sum(len(found["boxes"]) for found in alone) > 0
    for one, other in zip(alone, together, strict=True):
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-3, rtol=1e-3)
    flipped = run(files, threshold=0.02, flip=True)
    assert any(not torch.equal(one["scores"], other["scores"]) for one, other in zip(alone, flipped, strict=True))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        run(files, batch_size=0)
