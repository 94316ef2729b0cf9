import pytest
import torch

from tests.classification.common import RGB, colors, paint
from tests.common import calibrated
from vig_pyg import pvig_micro
from vig_pyg.classification import ImageClassifier, Prediction, UnreadableImage, predict
from vig_pyg.image_io import read_image
from vig_pyg.preprocess import Preprocessing


def test_the_likeliest_classes_come_first(tmp_path):
    paths = [paint(tmp_path / f"{name}.png", name) for name in RGB]
    found = list(predict(colors(), paths))
    assert [one.path for one in found] == paths and [one.names[0] for one in found] == list(RGB)
    assert found[0].names == ["red", "green", "blue"] and found[0].classes == [0, 1, 2]
    for one in found:
        assert sum(one.probabilities) == pytest.approx(1)
        assert one.probabilities == sorted(one.probabilities, reverse=True)


def test_as_many_classes_as_asked_for_and_there_are(tmp_path):
    path = paint(tmp_path / "a.png", "green")
    for topk, want in ((1, ["green"]), (2, ["green", "blue"]), (99, ["green", "blue", "red"])):
        (one,) = predict(colors(), [path], topk=topk)
        assert one.names == want and len(one.probabilities) == len(want)


def test_broken_pictures_keep_their_places(tmp_path):
    paths = [paint(tmp_path / f"{i}.png", "blue") for i in range(5)]
    paths[1].write_bytes(b"")
    paths[4].write_text("text")
    for batch_size in (1, 2, 5):
        found = list(predict(colors(), paths, batch_size=batch_size))
        assert [type(one) for one in found] == [Prediction, UnreadableImage, Prediction, Prediction, UnreadableImage]
        assert [one.path for one in found] == paths
        assert found[1].reason == "the file is empty" and "not an image" in found[4].reason


def test_results_come_as_they_are_ready(tmp_path):
    paths = [paint(tmp_path / f"{i}.png", "blue") for i in range(5)]
    classifier = colors()
    results = predict(classifier, paths, batch_size=2)
    next(results)
    assert classifier.model.sizes == [2]
    list(results)
    assert classifier.model.sizes == [2, 2, 1]


def test_equals_the_model_by_hand(tmp_path):
    model = calibrated(pvig_micro(num_classes=4)).train()
    preprocessing = Preprocessing(image_size=32, crop_pct=0.9)
    paths = [paint(tmp_path / f"{name}.png", name) for name in RGB]
    classifier = ImageClassifier(name="", model=model, class_names=list("abcd"), preprocessing=preprocessing)
    found = list(predict(classifier, paths, topk=4, batch_size=3))
    assert not model.training  # statistics of the batch would make images depend on each other
    with torch.no_grad():
        want = model(torch.stack([preprocessing(read_image(path)) for path in paths])).softmax(1)
    for one, row in zip(found, want, strict=True):
        assert one.probabilities == pytest.approx(row[one.classes].tolist(), abs=1e-6)


def test_bad_options_are_refused(tmp_path):
    path = paint(tmp_path / "a.png", "green")
    with pytest.raises(ValueError, match="topk must be at least 1, got 0"):
        list(predict(colors(), [path], topk=0))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        list(predict(colors(), [path], batch_size=0))
