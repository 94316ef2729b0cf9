import logging
import os
import random
import re
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from vig_pyg.classification import FolderData
from vig_pyg.classification.folders import read_folders

CLASSES = ("cat", "dog", "owl")


def paint(path, number, **options):
    """An image that no other number gives."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (number % 251, number * 83 % 251, number * 149 % 251)).save(path, **options)


class Made:
    """A folder with oddities, and what is expected of it."""

    def __init__(self, root, divided):
        self.root, self.divided, self.number = root, divided, 0
        self.images = {}  # path: (class, whether it is held out; not known where the folder is not divided)
        self.names = set(CLASSES)
        self.logged, self.refused = [], []
        self.train, self.val = (root / "train", root / "val") if divided else (root, None)
        for name in CLASSES:
            for i in range(4):
                self.add(self.train / name / f"{i}.png", name)
            for i in range(2 if divided else 0):
                self.add(self.val / name / f"{i}.png", name, held=True)
        if not divided:
            self.logged.append("a fixed, stratified fifth is used for validation")

    def paint(self, path, **options):
        self.number += 1
        paint(path, self.number, **options)

    def add(self, path, name, held=False, **options):
        self.paint(path, **options)
        self.images[path] = (name, held)

    def forget(self, folder):
        for path in [path for path in self.images if folder in path.parents]:
            del self.images[path]


# Each oddity changes the folder and says what is to be expected; `made.val` is None where the folder is not divided.


def hidden_class(made):
    made.paint(made.train / ".ipynb_checkpoints" / "a-checkpoint.png")


def hidden_files(made):
    (made.train / "cat" / "._0.png").write_bytes(b"\0\5\x16\7")
    (made.train / "cat" / ".DS_Store").touch()
    (made.train / "dog" / "Thumbs.db").touch()


def mac_zip(made):
    made.paint(made.root / "__MACOSX" / "train" / "cat" / "0.png")


def notes(made):
    (made.train / "dog" / "notes.txt").write_text("good dogs")
    (made.root / "readme.md").touch()


def pipe(made):
    os.mkfifo(made.train / "dog" / "pipe.png")


def subfolder(made):
    made.add(made.train / "dog" / "2020" / "deep" / "a.png", "dog")


def endings(made):
    for name in ("a.JPG", "b.jfif", "c.JPE", "d.Gif", "e.tiff", "f.webp", "g.ppm"):
        made.add(made.train / "owl" / name, "owl", format="JPEG" if name == "b.jfif" else None)


def heic(made):
    (made.train / "owl" / "a.HEIC").touch()
    made.logged.append(r"end in \.heic are not read")


def loose(made):
    made.paint(made.train / "loose.png")
    made.logged.append(r"1 image in .* is outside of the class folders and is not used \(loose.png\)")


def link_up(made):
    (made.train / "up").symlink_to(made.root)
    made.logged.append("up is not a class: it links to")


def link_round(made):
    (made.train / "cat" / "round").symlink_to(made.train / "cat")


def link_above(made):
    (made.train / "cat" / "above").symlink_to(made.root)
    made.logged.append("above is skipped: it links to a parent folder")


def link_to_other_class(made):
    (made.train / "cat" / "doggy.png").symlink_to(made.train / "dog" / "0.png")
    made.images[made.train / "cat" / "doggy.png"] = ("cat", False)
    made.logged.append("1 image is in two classes because of links, such as .*doggy.png, which links to .*dog/0.png")


def link_to_image(made):
    (made.train / "cat" / "zz.png").symlink_to(made.train / "cat" / "0.png")
    made.logged.append("zz.png is skipped: it links to the file of .*0.png")


def link_to_class(made):
    (made.train / "hound").symlink_to(made.train / "dog")
    made.logged.append("hound is not a class: it links to .*dog")


def link_outside(made):
    outside = made.root.with_name(f"{made.root.name}-outside")
    made.paint(outside / "a.png")
    (made.train / "cat" / "linked").symlink_to(outside)
    made.images[made.train / "cat" / "linked" / "a.png"] = ("cat", False)


def similar_class(made):
    for i in range(2):
        made.add(made.train / "Cat" / f"{i}.png", "Cat")
    made.names.add("Cat")
    made.logged.append("separate classes whose names are nearly equal: (Cat and cat|cat and Cat)")
    if made.val:
        made.logged.append(r"no validation images of \d of \d classes \(.*Cat")


def empty_class(made):
    (made.train / "newt").mkdir()
    (made.train / "newt" / ".hidden.png").touch()
    made.refused.append(r"train needs|needs one folder of images for each class: 1 of \d has none \(newt\)")


def accent(made):
    name = unicodedata.normalize("NFC", "âne")
    for i in range(5):
        made.add(made.train / unicodedata.normalize("NFD", name) / f"{i}.png", name)
    made.names.add(name)
    if made.val:
        made.add(made.val / name / "0.png", name, held=True)


def copies(made):
    source = made.train / "dog" / "1.png"
    (made.val / "dog" / "copy.png").write_bytes(source.read_bytes())
    made.images[made.val / "dog" / "copy.png"] = ("dog", True)
    made.logged.append(r"1 of \d+ validation images of .* (is an exact copy|are exact copies) of training images")


def absent(made):
    for path in (made.val / "owl").iterdir():
        path.unlink()
    made.forget(made.val / "owl")
    if made.number % 2:
        (made.val / "owl").rmdir()
    made.logged.append(r"no validation images of \d of \d classes \(.*owl")


def unknown(made):
    made.paint(made.val / "fox" / "a.png")
    made.refused.append(
        r"\d folders? that (is not a class|are not classes) in .*: .*fox.*\. Rename or remove (it|them), or add images "
        "to .*train"
    )


def misspelled(made):
    made.paint(made.val / "Dog" / "a.png")
    made.refused.append(r"(is not a class|are not classes) in .*: Dog.* \(did you mean dog\?\)")


def beside(made):
    made.paint(made.root / "raw" / "a.png")
    made.logged.append("other folders than (train|training|Train) that are not used: raw")


def part_of_tests(made):
    made.paint(made.root / "test" / "cat" / "a.png")


def second_val(made):
    made.paint(made.root / "validation" / "cat" / "a.png")
    made.logged.append("only val is used")


def renamed(name):
    def rename(made):
        new = made.root / name
        old = made.val if name.casefold().startswith("val") else made.train
        old.rename(new)
        made.images = {new / p.relative_to(old) if old in p.parents else p: v for p, v in made.images.items()}

    return rename


ANYWHERE = (
    *(hidden_class, hidden_files, mac_zip, notes, pipe, subfolder, endings, heic, loose, similar_class, empty_class),
    *(accent, link_up, link_round, link_above, link_to_other_class, link_to_image, link_to_class, link_outside),
)
DIVIDED = (copies, absent, unknown, misspelled, beside, part_of_tests)
#: Applied last, as they move what the others made.
LAST = (second_val, renamed("valid"), renamed("validation"), renamed("VAL"), renamed("training"))


def make(root, seed):
    rng = random.Random(seed)
    made = Made(root, divided=seed % 3 > 0)
    choice = [*ANYWHERE, *DIVIDED] if made.divided else ANYWHERE
    for oddity in rng.sample(choice, rng.randrange(5)):
        oddity(made)
    links = any(path.is_symlink() for path in root.rglob("*"))
    if made.divided and not links and rng.random() < 0.5:
        rng.choice(LAST)(made)
    return made


def check(made, text, split):
    """What was read is what was expected, and what was logged too."""
    names = sorted(made.names)
    assert split.class_names == names
    got = {}
    for held, (paths, labels) in ((False, split.train), (True, split.val)):
        got |= {Path(path): (names[label], held) for path, label in zip(paths, labels, strict=True)}
    if made.divided:
        assert got == made.images
    else:
        assert {path: name for path, (name, _) in got.items()} == {p: name for p, (name, _) in made.images.items()}
        assert sum(held for _, held in got.values()) == max(-(-len(got) // 5), len(names))
        assert {name for name, held in got.values() if not held} == made.names
    for pattern in made.logged:
        assert re.search(pattern, text), pattern
    more = r"accents encoded differently"
    for line in text.splitlines():
        if not made.divided and re.search("no validation images of|exact cop(y|ies) .* doggy|doggy.* of ", line):
            continue  # by chance of the fifth
        assert not line.startswith("WARNING") or any(re.search(p, line) for p in [*made.logged, more]), line


def test_folders_as_people_have_them(tmp_path, caplog):
    counts = {"read": 0, "refused": 0, "logged": 0}
    for seed in range(150):
        made = make(tmp_path / str(seed), seed)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            try:
                data = FolderData(made.root, image_size=8)
            except (ValueError, FileNotFoundError) as error:
                assert any(re.search(pattern, str(error)) for pattern in made.refused), error
                assert str(made.root) in str(error)
                counts["refused"] += 1
                continue
        assert not made.refused
        check(made, caplog.text, read_folders(made.root))
        assert len(data.train_set) + len(data.val_set) == len(made.images)
        counts["read"] += 1
        counts["logged"] += bool(made.logged)
    assert counts["read"] > 90 and counts["refused"] > 20 and counts["logged"] > 60, counts


class TestParts:
    def test_a_class_may_be_called_train(self, tmp_path):
        for i in range(15):
            paint(tmp_path / ("train", "plane", "bus")[i % 3] / f"{i}.png", i)
        assert read_folders(tmp_path).class_names == ["bus", "plane", "train"]

    def test_without_a_held_out_part_the_ways_out_are_named(self, tmp_path):
        paint(tmp_path / "train" / "cat" / "a.png", 1)
        with pytest.raises(
            FileNotFoundError, match=r"val with one folder .* Move a part .* a fifth of it is used for validation"
        ):
            read_folders(tmp_path)
        paint(tmp_path / "test" / "cat" / "a.png", 1)
        with pytest.raises(FileNotFoundError, match="test/ is not used in training"):
            read_folders(tmp_path)

    def test_two_held_out_parts_are_refused_unless_one_is_called_val(self, tmp_path):
        for part in ("train", "valid", "validation"):
            paint(tmp_path / part / "cat" / "a.png", 1)
        with pytest.raises(ValueError, match="has valid, validation: rename the one to use to val"):
            read_folders(tmp_path)

    @pytest.mark.parametrize(
        ("train", "val"),
        [
            ("Train", "Val"),
            ("training_set", "validation_set"),
            ("train images", "VALID-images"),
            ("TRAIN", "val.split"),
        ],
    )
    def test_parts_have_many_names(self, tmp_path, train, val):
        for i in range(6):
            paint(tmp_path / (train, val)[i // 4] / ("cat", "dog")[i % 2] / f"{i}.png", i)
        split = read_folders(tmp_path)
        assert (split.class_names, len(split.train[0]), len(split.val[0])) == (["cat", "dog"], 4, 2)

    def test_a_training_and_a_test_set_are_no_classes(self, tmp_path):
        for part in ("training_set", "test_set"):
            paint(tmp_path / part / "cat" / "a.png", 1)
        with pytest.raises(FileNotFoundError, match=r"Expected .*val .* test_set/ is not used in training"):
            read_folders(tmp_path)

    def test_classes_that_hold_the_same_folders_are_logged(self, tmp_path, caplog):
        for i in range(8):
            paint(tmp_path / ("2019", "2020")[i % 2] / ("cat", "dog")[i // 4] / f"{i}.png", i)
        with caplog.at_level(logging.WARNING):
            assert read_folders(tmp_path).class_names == ["2019", "2020"]
        assert "All of them contain the same folders, cat, dog: if these are the classes" in caplog.text

    def test_one_class_is_refused_with_the_folder_that_may_be_meant(self, tmp_path):
        for name in ("cat", "dog"):
            paint(tmp_path / "pets" / name / "a.png", 1)
        with pytest.raises(ValueError, match=r"only one class, pets; .* in .*pets, pass that folder"):
            read_folders(tmp_path)

    def test_a_class_with_one_image_cannot_be_divided(self, tmp_path):
        for i in range(9):
            paint(tmp_path / ("cat" if i else "dog") / f"{i}.png", i)
        with pytest.raises(ValueError, match=r"1 of 2 classes has only one image \(dog\), .*: add images"):
            read_folders(tmp_path)

    def test_images_without_folders_are_refused(self, tmp_path):
        paint(tmp_path / "a.png", 1)
        with pytest.raises(ValueError, match="needs one folder of images for each class: it contains no folders"):
            read_folders(tmp_path)

    def test_unreadable_images_are_named_or_left_out(self, tmp_path, caplog):
        for i in range(12):
            paint(tmp_path / ("train", "val")[i // 8] / ("cat", "dog")[i % 2] / f"{i}.png", i)
        (tmp_path / "train" / "cat" / "0.png").write_text("no image")
        (tmp_path / "val" / "dog" / "9.png").unlink()
        (tmp_path / "val" / "dog" / "9.png").symlink_to("nothing")
        stopping = FolderData(tmp_path, image_size=8)
        with pytest.raises(ValueError, match=r"train/cat/0\.png cannot be read as an image \(not an image"):
            list(stopping.train_set[i] for i in range(8))
        with pytest.raises(FileNotFoundError, match=r"There is no image at .*val/dog/9\.png"):
            list(stopping.val_set[i] for i in range(4))
        with caplog.at_level(logging.WARNING):
            left = FolderData(tmp_path, image_size=8, on_bad="drop")
        assert (len(left.train_set), len(left.val_set)) == (7, 3)
        assert re.search(
            r"2 of 12 images are left out:\n  .*cat/0\.png: not an image.*\n  .*dog/9\.png: there is no such image",
            caplog.text,
        )
        for path in (tmp_path / "val").rglob("*.png"):
            path.unlink()
            path.write_text("no image")
        with pytest.raises(ValueError, match=r"no readable validation image:\n  .*cat/0\.png"):
            FolderData(tmp_path, image_size=8, on_bad="drop")


@pytest.mark.parametrize("divided", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_classes_without_images_are_left_out_with_a_warning(tmp_path, caplog, divided, seed):
    """Folders that are empty, have no image file, or only images that cannot be read."""
    rng = random.Random(seed)
    names = [f"class{i}" for i in range(6)]
    gone = set(rng.sample(names, rng.randint(1, 4)))
    kinds = {name: rng.choice(["empty", "other", "broken"]) for name in sorted(gone)}
    for part in ("train", "val") if divided else ("",):
        for number, name in enumerate(names):
            for i in range(5):
                path = tmp_path / part / name / f"{i}.png"
                paint(path, 10 * number + i)
                if part != "val" and kinds.get(name) == "broken":
                    path.write_text("no image")
                elif part != "val" and name in kinds:
                    path.rename(path.with_suffix(".txt")) if kinds[name] == "other" else path.unlink()
    empty = [name for name in names if kinds.get(name) in ("empty", "other")]
    if empty:
        with pytest.raises(ValueError, match=rf"{empty[0]}.*or use on_bad='drop' \(--on-bad drop\)"):
            FolderData(tmp_path, image_size=8)
    with caplog.at_level(logging.WARNING):
        data = FolderData(tmp_path, image_size=8, on_bad="drop")
    left = [name for name in names if name not in gone]
    assert data.class_names == left
    for images in (data.train_set, data.val_set):
        assert {Path(path).parent.name: data.class_names[label] for path, label in
                zip(images.sources, images.labels, strict=True)} == {name: name for name in left}  # fmt: skip
    assert all(name in caplog.text for name in gone)


@pytest.mark.parametrize("divided", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_what_is_left_can_be_learned_and_evaluated(tmp_path, divided, seed):
    """Classes without readable training images are left out, unless only one class or no validation image is left."""
    rng = random.Random(seed)
    names = ["ant", "bee", "cat"][: rng.randint(2, 3)]
    gone = set(rng.sample(names, rng.randint(1, len(names) - 1)))
    held = set(names if rng.random() < 0.5 else gone)
    for number, name in enumerate(names):
        for i in range(6):
            paint(tmp_path / ("train" if divided else "") / name / f"{i}.png", 10 * number + i)
            if name in gone:
                (tmp_path / ("train" if divided else "") / name / f"{i}.png").write_text("no image")
            if divided and name in held:
                paint(tmp_path / "val" / name / f"{i}.png", 100 + 10 * number + i)
    left = [name for name in names if name not in gone]
    if len(left) > 1 and (held & set(left) or not divided):
        data = FolderData(tmp_path, image_size=8, on_bad="drop")
        assert data.class_names == left and len(data.train_set) and len(data.val_set)
        return
    what = (
        "of only one class, " if len(left) == 1 else f"of {', '.join(left)}, but no readable validation image of either"
    )
    with pytest.raises(ValueError, match=rf"(?s)has readable training images {what}.*0\.png: not an image"):
        FolderData(tmp_path, image_size=8, on_bad="drop")


def test_folders_without_any_image_are_refused_in_any_case(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match=r"2 of 2 have none \(cat, dog\)"):
        FolderData(tmp_path, on_bad="drop")


def test_all_faults_of_a_folder_are_told_at_once(tmp_path, caplog):
    root = tmp_path / "pets"
    for i, name in enumerate(("train/cat/0.png", "train/dog/0.png", "val/cat/0.png", "val/cow/0.png", "val/dog/0.png")):
        paint(root / name, i)
    for name in ("train/owl/0.HEIC", "train/owl/notes", "train/cat/1.png", "val/dog/.hidden.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("text")
    (root / "val" / "dog" / "1.jpg").touch()
    with pytest.raises(ValueError, match=r"pets cannot be used:\n") as error:
        FolderData(root, image_size=8)
    lines = str(error.value).split("\n  ")
    assert lines[0] == f"The images of {root} cannot be used:" and len(lines) == 5
    assert (
        "train needs one folder of images for each class: 1 of 3 has none (owl; files there end in .heic). Fill"
        in lines[1]
    )
    assert f"{root}/val has 1 folder that is not a class in {root}/train: cow" in lines[2]
    assert (
        lines[3].startswith(f"{root}/train/cat/1.png: not an image")
        and lines[4] == f"{root}/val/dog/1.jpg: the file is empty"
    )
    assert len([record for record in caplog.records if "HEIC" in record.getMessage()]) == 1

    for name in ("train/owl", "val/cow", "val"):  # what is mended is not told again
        shutil.rmtree(root / name)
    with pytest.raises(
        FileNotFoundError, match=r"(?s)cannot be used:\n  Expected .*/val .*; it does not exist.*\n  .*cat/1"
    ):
        FolderData(root, image_size=8)
    (root / "train" / "cat" / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"^Expected .*/val .*; it does not exist"):
        FolderData(root, image_size=8)
    (root / "train" / "cow").mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"(?s)cannot be used:\n  Expected .*\n  .*train needs .*: 1 of 3 has none"
    ):
        FolderData(root, image_size=8)
