import logging
import os
import re
import sys
import unicodedata

import pytest

from tests.classification.common import paint
from vig_pyg.classification import find_labeled
from vig_pyg.classification.labels import class_numbers, synsets
from vig_pyg.weights.table import imagenet_categories

#: The ten of Imagenette, ImageNet's indices of them, and their names in torchvision.
IMAGENETTE = {
    "n01440764": (0, "tench"),
    "n02102040": (217, "English springer"),
    "n02979186": (482, "cassette player"),
    "n03000684": (491, "chain saw"),
    "n03028079": (497, "church"),
    "n03394916": (566, "French horn"),
    "n03417042": (569, "garbage truck"),
    "n03425413": (571, "gas pump"),
    "n03445777": (574, "golf ball"),
    "n03888257": (701, "parachute"),
}
IMAGENET = list(imagenet_categories())


def test_wordnet_numbers_are_mapped_to_imagenets_indices(tmp_path):
    for name in IMAGENETTE:
        paint(tmp_path / name / "a.png", "red")
    found = find_labeled(tmp_path, IMAGENET)
    assert {path.parent.name: label for path, label in zip(found.paths, found.labels, strict=True)} == {
        name: index for name, (index, _) in IMAGENETTE.items()
    }
    assert [IMAGENET[label] for label in found.labels] == [name for _, name in IMAGENETTE.values()]


def test_the_list_is_imagenets():
    names = synsets()
    assert len(set(names)) == 1000 and names == sorted(names)
    assert names[-1] == "n15075141" and IMAGENET[-1] == "toilet tissue"


def test_some_of_the_classes_are_enough(tmp_path):
    for i in range(2):
        paint(tmp_path / "blue" / f"{i}.png", "blue")
    paint(tmp_path / "red" / "deep" / "0.jpg", "red")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "labels.csv").touch()
    found = find_labeled(tmp_path, ["red", "green", "blue"])
    assert [path.name for path in found.paths] == ["0.png", "1.png", "0.jpg"]
    assert found.labels == [2, 2, 0]


def test_a_model_with_wordnet_names_takes_them_as_they_are():
    assert class_numbers(["n02102040"], ["n01440764", "n02102040"]) == {"n02102040": 1}
    assert class_numbers(["n02102040"], IMAGENET) == {"n02102040": 217}


def test_wrong_folders_are_named():
    with pytest.raises(
        ValueError, match=r"2 of 3 folders are not classes of the model: cat, dog\. The classes of the model are red,"
    ):
        class_numbers(["cat", "dog", "red"], ["red", "green"])
    with pytest.raises(ValueError, match=r"WordNet IDs \(n01440764\), but the model has 2 classes"):
        class_numbers(["n01440764"], ["red", "green"])
    with pytest.raises(ValueError, match=r"WordNet IDs \(n01440764 and 1 more\), but"):
        class_numbers(["n01440764", "n02102040"], ["red", "green"])
    with pytest.raises(ValueError, match="1 of 1 folders is not a class of the model: n00000000"):
        class_numbers(["n00000000"], IMAGENET)
    with pytest.raises(ValueError, match="Two classes are called 'crane': name the folders by their WordNet IDs"):
        class_numbers(["crane"], ["crane", "tench", "crane"])


def test_a_folder_that_is_none_or_has_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"The folder .*nothing does not exist"):
        find_labeled(tmp_path / "nothing", ["red"])
    picture = paint(tmp_path / "a.png", "red")
    with pytest.raises(ValueError, match="needs one folder of images for each class"):
        find_labeled(tmp_path, ["red"])
    with pytest.raises(
        NotADirectoryError, match=r"a\.png is a file, expected a folder with one folder of images for each class"
    ):
        find_labeled(picture, ["red"])
    (tmp_path / "red").mkdir()
    with pytest.raises(ValueError, match=r"The folder .*red has no images"):
        find_labeled(tmp_path, ["red"])


def test_without_timm_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm.data.imagenet_info", None)
    with pytest.raises(ImportError, match=r"need timm, which provides their order \(extra imagenet\): .*pip install "):
        class_numbers(["n01440764"], ["x"] * 1000)


def test_one_stray_folder_is_named_alone(tmp_path):
    for name in ("n01440764", "n02102040", "misc"):
        paint(tmp_path / name / "a.png", "red")
    with pytest.raises(
        ValueError, match=r"1 of 3 folders is not a class of the model: misc\. The classes of the model"
    ):
        find_labeled(tmp_path, IMAGENET)
    with pytest.raises(ValueError, match=r"1 of 2 folders is not a class of the model: Red \(did you mean red\?\)"):
        class_numbers(["Red", "green"], ["red", "green"])


def test_what_systems_leave_behind_is_no_class(tmp_path, caplog):
    for name in ("red/a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "red/._a.png", "loose.png", "blue/a.jfif"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        paint(tmp_path / "a.jpg", "red").rename(tmp_path / name)
    (tmp_path / "green").mkdir()
    (tmp_path / "red" / "loop").symlink_to(tmp_path)
    (tmp_path / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "red" / "pipe.png")
    with caplog.at_level(logging.WARNING):
        found = find_labeled(tmp_path, ["red", "green", "blue"])
    assert {(path.name, label) for path, label in zip(found.paths, found.labels, strict=True)} == {
        ("a.png", 0),
        ("a.jfif", 2),
    }
    for reason in (
        "1 folder of .* has no images: green",
        "up is not a class: it links to",
        r"not used \(loose.png\)",
    ):
        assert re.search(reason, caplog.text)


def test_names_with_accents_are_the_same_in_both_ways(tmp_path):
    paint(tmp_path / unicodedata.normalize("NFD", "âne") / "a.png", "red")
    for form in ("NFC", "NFD"):
        assert find_labeled(tmp_path, ["cat", unicodedata.normalize(form, "âne")]).labels == [1]


def test_the_folder_of_a_data_set_is_told_what_to_name(tmp_path):
    for part in ("train", "val"):
        paint(tmp_path / part / "red" / "a.png", "red")
    with pytest.raises(
        ValueError, match=r"train, val\. The classes of the model .* in .*val may be the classes: pass it"
    ):
        find_labeled(tmp_path, ["red", "green"])


@pytest.mark.parametrize("count", [1, 2, 4, 5, 12])
def test_lists_of_classes_say_how_many_are_left_out(count):
    names = [f"class {i}" for i in range(count)]
    with pytest.raises(ValueError) as error:
        class_numbers([f"no {name}" for name in names], names)
    text = str(error.value)
    assert "..." not in text and text.count(f"and {count - 4} more") == (2 if count > 4 else 0)
    assert text.endswith(f"class {min(count, 4) - 1}." if count <= 4 else " more.")


def test_a_folder_without_images_needs_no_class(tmp_path, caplog):
    """Training with `on_bad: drop` leaves such a class out, and the same folder can be evaluated."""
    paint(tmp_path / "red" / "a.png", "red")
    for name in ("empty", "other/deep", "green"):
        (tmp_path / name).mkdir(parents=True)
    found = find_labeled(tmp_path, ["blue", "green", "red"])
    assert found.labels == [2]
    assert "3 folders of" in caplog.text and "have no images: empty, green, other." in caplog.text
    paint(tmp_path / "other" / "deep" / "a.png", "red")
    with pytest.raises(ValueError, match="2 of 4 folders are not classes of the model: empty, other"):
        find_labeled(tmp_path, ["blue", "green", "red"])
