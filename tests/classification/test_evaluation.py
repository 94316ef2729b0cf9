import pytest

from tests.classification.common import RGB, colors, paint
from vig_pyg.classification import LabeledImages, evaluate, find_labeled
from vig_pyg.classification.evaluation import ClassResult

SEVEN = ["red", "green", "blue", "d", "e", "f", "g"]  # in this order the model likes the last four less and less


@pytest.fixture
def root(tmp_path):
    """Three of four images are in the folder of their color, and two are broken."""
    for label, color, count in (("red", "red", 2), ("red", "blue", 1), ("blue", "blue", 1)):
        for i in range(count):
            paint(tmp_path / label / f"{color}{i}.png", color)
    (tmp_path / "red" / "z.png").touch()
    (tmp_path / "blue" / "z.jpg").write_text("text")
    return tmp_path


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_accuracy_by_hand(root, batch_size):
    classifier = colors()
    done = []
    data = find_labeled(root, classifier.class_names)
    result = evaluate(classifier, data, batch_size=batch_size, progress=done.append)
    assert (result.images, result.top1, result.top5) == (4, 75.0, None)  # of three classes
    assert result.per_class == [
        ClassResult(0, "red", 3, pytest.approx(200 / 3), None),
        ClassResult(2, "blue", 1, 100.0, None),
    ]
    assert [(one.path.name, one.reason.split(",")[0]) for one in result.broken] == [
        ("z.jpg", "not an image"),
        ("z.png", "the file is empty"),
    ]
    assert sum(done) == 6 and len(done) == -(-6 // batch_size)
    assert 0 < result.images_per_second < result.model_images_per_second


def test_top5_counts_the_five_likeliest(tmp_path):
    paths = [paint(tmp_path / f"{i}.png", "red") for i in range(4)]
    labels = [0, 4, 5, 6]  # the first, the fifth, the sixth, the last
    result = evaluate(colors(SEVEN), LabeledImages(paths, labels))
    assert (result.top1, result.top5) == (25.0, 50.0)
    assert [(row.index, row.name, row.top1, row.top5) for row in result.per_class] == [
        (0, "red", 100.0, 100.0),
        (4, "e", 0.0, 100.0),
        (5, "f", 0.0, 0.0),
        (6, "g", 0.0, 0.0),
    ]


def test_the_model_chooses_among_all_classes_even_if_some_do_not_occur(tmp_path):
    for name in RGB:
        paint(tmp_path / "red" / f"{name}.png", name)
    result = evaluate(colors(), find_labeled(tmp_path, list(RGB)))
    assert result.top1 == pytest.approx(100 / 3)


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"The only image could not be read: .*a\.png: the file is empty\."):
        evaluate(colors(), LabeledImages([tmp_path / "a.png"], [0]))
