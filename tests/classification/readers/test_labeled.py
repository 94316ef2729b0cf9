import pytest

from vig_pyg.classification.readers import READERS, Collection, Part, ReaderOptions, find_labeled_in, register_reader
from vig_pyg.classification.readers.labeled import class_names_of
from vig_pyg.weights.table import imagenet_categories


@pytest.fixture
def find():
    def find(names, labels, class_names, parts=("val",), **options):
        part = Part([f"{i}.png" for i in range(len(labels))], labels)
        READERS.register("some")(lambda *_: Collection("some", names, dict.fromkeys(parts, lambda: part)))
        try:
            return find_labeled_in("some/data", class_names, ReaderOptions(), **options).labels
        finally:
            READERS.remove("some")

    return find


PETS = ["cat", "dog", "öl"]


@pytest.mark.parametrize(
    ("names", "labels", "class_names", "want"),
    [
        (["dog", "cat"], [0, 1, 0], PETS, [1, 0, 1]),
        (["dog", "hamster"], [0, 0], PETS, [1, 1]),  # no image of the class that the model lacks
        (["o\u0308l"], [0], PETS, [2]),
        (None, ["dog", "cat"], PETS, [1, 0]),
        (None, [7, 3], ["3", "5", "7"], [2, 0]),  # trained on such labels
        (["crane", "crane"], [1, 0], ["crane", "crane"], [1, 0]),
        (None, ["n01440764", "n02102040"], list(imagenet_categories()), [0, 217]),
        ([f"{name}, more" for name in imagenet_categories()], [3, 999], list(imagenet_categories()), [3, 999]),
    ],
)
def test_classes_are_found_among_those_of_the_model(find, caplog, names, labels, class_names, want):
    assert find(names, labels, class_names) == want
    assert caplog.text == ""


def test_labels_without_names_are_numbers_of_the_models_classes(find, caplog):
    assert find(None, [2, 0, 2], PETS) == [2, 0, 2]
    assert (
        "some/data has no class names: its labels are used as indices of the model's classes, so 0 is cat"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("names", "labels", "said"),
    [
        (["dog", "hamster"], [0, 1], "1 of 2 classes of the data is not a class of the model: hamster"),
        (None, [0, 3], "2 of 2 classes of the data are not classes"),
        (None, ["Cat"], r"did you mean cat\?"),
        (["dog"], [1], "labels outside of its 1 classes: 1"),
        (None, [], "no labeled images in val"),
    ],
)
def test_other_classes_are_named(find, names, labels, said):
    with pytest.raises(ValueError, match=said):
        find(names, labels, PETS)


def test_the_part_may_be_named(find):
    assert find(PETS, [1], PETS, parts=("train", "val"), split="train") == [1]
    assert find(PETS, [1], PETS, parts=("",)) == [1]
    with pytest.raises(ValueError, match="has no part 'test'; it has 'train'"):
        find(PETS, [1], PETS, parts=("train",), split="test")
    with pytest.raises(ValueError, match="no part for validation; it has 'train', 'extra': name one"):
        find(PETS, [1], PETS, parts=("train", "extra"))


def test_class_names_come_from_the_data_or_from_the_training_labels():
    named, plain = Collection("some", PETS, {}), Collection("some", None, {})
    assert class_names_of(named, [Part(["a"], [2])]) == (PETS, {0: 0, 1: 1, 2: 2})
    numbers = [Part(["a", "b", "c"], [10, 9, 10]), Part(["d"], [9])]
    assert class_names_of(plain, numbers) == (["9", "10"], {9: 0, 10: 1})
    with pytest.raises(ValueError, match="no training images of 1 classes: 11"):
        class_names_of(plain, [numbers[0], Part(["d"], [11])])
    with pytest.raises(ValueError, match="numbers as labels in one part, and names in another"):
        class_names_of(plain, [numbers[0], Part(["d"], ["nine"])])


def test_registered_readers_are_used(tmp_path):
    register_reader("one")(lambda name, options: Collection(name, None, {"": lambda: Part(["a.png"], ["cat"])}))
    try:
        assert find_labeled_in("one/x", PETS, ReaderOptions()).paths == ["a.png"]
    finally:
        READERS.remove("one")
