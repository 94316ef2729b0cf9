import collections
import io
import json
import logging
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from tests.classification.readers.shards import sample, write_tar
from tests.images import BROKEN, make_odd, make_various
from vig_pyg._io.faults import MOST_NAMED
from vig_pyg.classification.readers import ReaderOptions, open_collection
from vig_pyg.classification.readers._shard_layout import _expanded, _part_in
from vig_pyg.image_io import UnreadableImageError, _limits, read_image
from vig_pyg.preprocess import Preprocessing

SKIP = ReaderOptions(on_bad="drop")


def read(path, part="", options=ReaderOptions()):  # noqa: B008
    collection = open_collection(f"wds/{path}", options)
    return collection, collection.parts[part]()


def test_the_same_pixels_as_those_of_files(tmp_path):
    """JPEG, PNG, TIFF, WebP and others, upright, with opacity, palettes and 16 bits, and files that are no images."""
    files = [*make_various(tmp_path / "various"), *sorted(make_odd(tmp_path / "odd").iterdir())]
    np.save(tmp_path / "odd" / "array.npy", np.random.default_rng(0).random((9, 12, 6), dtype=np.float32))
    files.append(tmp_path / "odd" / "array.npy")
    content = [one for i, file in enumerate(files) for one in sample(f"{i:04}", file.read_bytes(), 0, file.suffix[1:])]
    write_tar(tmp_path / "all.tar", content)
    _, part = read(tmp_path / "all.tar")
    assert len(part.images) == len(files) > 80
    for file, image in zip(files, part.images, strict=True):
        if file.name in BROKEN:
            with pytest.raises(UnreadableImageError, match=BROKEN[file.name]) as stored:
                Preprocessing(image_size=8).convert(read_image(image))
            with pytest.raises(UnreadableImageError) as alone:
                Preprocessing(image_size=8).convert(read_image(file))
            assert str(stored.value) == str(alone.value)
        else:
            got, want = np.asarray(read_image(image)), np.asarray(read_image(file))
            assert (got.dtype, got.shape) == (want.dtype, want.shape) and (got == want).all(), file


@pytest.mark.parametrize("seed", range(30))
def test_samples_are_those_that_were_written(tmp_path, seed):
    rng = np.random.default_rng(seed)
    format = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT][seed % 3]
    kind = ["number", "name", "json"][seed // 3 % 3]
    folder = ["", "./", "deep/folder/", "a.b/"][seed % 4]
    names, want = ["cat", "dog", "Öl", "n01440764"], []
    for shard in range(int(rng.integers(1, 4))):
        content = []
        for i in range(int(rng.integers(1, 9))):
            value = int(rng.integers(4))
            label = {"number": f" {value}\n", "name": names[value], "json": {"id": "x", "kind": value}}[kind]
            ending = str(rng.choice(["jpg", "JPEG", "png", "webp", "npy"]))
            files = sample(f"{folder}{shard}-{i:03}", rng.bytes(20), label, ending)
            want.append((names[value] if kind == "name" else value, files[0][1]))
            files += [(f"{folder}{shard}-{i:03}.{end}", b"more") for end in ("txt", "mask.png") if rng.random() < 0.3]
            rng.shuffle(files)
            content += [("._" + files[0][0].rpartition("/")[2], b"of macOS")] if rng.random() < 0.2 else []
            content += files
        write_tar(tmp_path / f"{shard}.tar", content, format=format)
    options = ReaderOptions(target_key="kind" if kind == "json" else None)
    _, part = read(tmp_path, options=options)
    assert [(label, image.content()) for image, label in zip(part.images, part.labels, strict=True)] == want
    again = pickle.loads(pickle.dumps(part.images))
    assert [image.content() for image in again] == [content for _, content in want]


def few(root, path, labels=(0, 1)):
    content = [one for i, label in enumerate(labels) for one in sample(f"{i}", b"image", label)]
    return write_tar(root / path, content)


@pytest.mark.parametrize(
    ("paths", "want"),
    [
        (["pets-train-0.tar", "pets-train-1.tar", "pets-val-0.tar"], {"train": 2, "val": 1}),
        (["train/0.tar", "train/1.tar", "test/0.tar"], {"train": 2, "test": 1}),
        (["training_set/0.tar", "Validation/0.tar"], {"train": 1, "val": 1}),
        (["imagenet1k-train-0000.tar", "imagenet1k-validation-00.tar"], {"train": 1, "val": 1}),
        (["train0.tar", "valid0.tar", "test0.tar", "constrained.tar"], {"train": 1, "val": 1, "test": 1}),
        (["0.tar", "1.tar", "sub/2.tar", ".hidden.tar", "__MACOSX/3.tar"], {"": 3}),
    ],
)
def test_parts_by_the_names_of_folders_and_files(tmp_path, caplog, paths, want):
    for path in paths:
        few(tmp_path, path)
    parts = open_collection(f"wds/{tmp_path}", ReaderOptions()).parts
    assert {name: len(read_part().labels) // 2 for name, read_part in parts.items()} == want
    assert ("are not used" in caplog.text) == ("constrained.tar" in paths)


def test_parts_that_a_list_of_shards_names(tmp_path):
    few(tmp_path, "a.tar", labels=[{"cls": 0, "kind": 1}, {"cls": 0, "kind": 2}])
    few(tmp_path, "b.tar")
    few(tmp_path, "train-unused.tar")
    splits = {
        "train": {"name": "train", "filenames": ["a.tar"], "shard_lengths": [2], "num_samples": 2, "alt_label": "kind"},
        "validation": {"name": "validation", "filenames": ["b.tar"], "shard_lengths": [2], "num_samples": 2},
    }
    (tmp_path / "_info.json").write_text(json.dumps({"splits": splits}))
    collection, part = read(tmp_path, "train")
    assert list(collection.parts) == ["train", "validation"] and part.labels == [1, 2]
    assert collection.parts["validation"]().labels == [0, 1]


@pytest.mark.parametrize(
    "name", ["../a.tar", "/etc/a.tar", "x/../../a.tar", "pipe:cat a.tar", "https://a.tar", "..\\a.tar"]
)
def test_a_list_of_shards_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    few(tmp_path, "a.tar")
    inside = tmp_path / "inside"
    few(inside, "a.tar")
    (inside / "info.json").write_text(json.dumps({"splits": {"train": {"filenames": [name]}}}))
    with pytest.raises(ValueError, match=r"splits\.train names the shard .*, which is not in "):
        open_collection(f"wds/{inside}", ReaderOptions())


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ('{"splits": []}', "must have the entry splits"),
        ("[]", "must contain a mapping"),
        ('{"splits": {"train": ["a.tar"]}}', "must have the entry filenames"),
        ('{"splits": {"train": {"filenames": [1]}}}', "must have the entry filenames"),
        ('{"splits": {"train": {"filenames": []}}}', "must have the entry filenames"),
        ('{"splits": {"train": {"filenames": ["b.tar"]}}}', r"names the shard b\.tar, which does not exist"),
        ('{"splits": {"train": {"filenames": ["info.json"]}}}', "is not a shard"),
    ],
)
def test_lists_of_shards_that_are_not_as_expected(tmp_path, info, said):
    few(tmp_path, "a.tar")
    (tmp_path / "info.json").write_text(info)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        open_collection(f"wds/{tmp_path}", ReaderOptions())


def test_a_file_with_the_name_of_a_list_may_be_of_another_program(tmp_path):
    few(tmp_path, "a.tar")
    (tmp_path / "info.json").write_text('{"license": "MIT"}')
    assert list(open_collection(f"wds/{tmp_path}", ReaderOptions()).parts) == [""]
    (tmp_path / "info.json").rename(tmp_path / "_info.json")
    with pytest.raises(ValueError, match="must have the entry splits"):
        open_collection(f"wds/{tmp_path}", ReaderOptions())


def test_patterns(tmp_path):
    for i in range(12):
        few(tmp_path, f"pets-train-{i:02}.tar")
    few(tmp_path, "pets-val-00.tar")
    both = open_collection(f"wds/{tmp_path}/pets-{{train,val}}-{{00..00}}.tar", ReaderOptions())
    assert {name: len(part().labels) for name, part in both.parts.items()} == {"train": 2, "val": 2}
    splits = ("pets-train-{03..11}.tar|18", "pets-*-0[01].tar")
    named = open_collection(f"wds/{tmp_path}", ReaderOptions(splits=splits))
    assert [len(named.parts[split]().labels) for split in splits] == [18, 6]
    for wrong, said in {
        "{00..12}.tar": "There is no shard",
        "{9..1}.tar": "names 0 shards",
        "x*.tar": "There is no shard",
        "{0..9999999}.tar": "names 10000000 shards",
        "{a,b}{0..99999}.tar": "names 200000 shards",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError), match=said):
            open_collection(f"wds/{tmp_path}/pets-train-{wrong}", ReaderOptions())


def test_braces_and_words():
    assert _expanded("a-{8..10}{x,}.tar") == [f"a-{i}{x}.tar" for i in (8, 9, 10) for x in ("x", "")]
    assert _expanded("a.tar") == ["a.tar"]
    assert [_part_in(name) for name in ("my_Val_1", "train-test", "straining", "eval")] == ["val", "", "", ""]


def test_class_names(tmp_path):
    few(tmp_path, "train-0.tar", labels=[2, 0])
    (tmp_path / "classnames.txt").write_text("cat\ndog\nöl painting\n\n")
    collection, part = read(tmp_path, "train")
    assert collection.class_names == ["cat", "dog", "öl painting"] and part.labels == [2, 0]
    few(tmp_path, "val-0.tar", labels=[3])
    with pytest.raises(ValueError, match=r"val-0\.tar: 0 has the label 3, but there are 3 classes"):
        read(tmp_path, "val")


def test_folders_without_shards(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder with shards at"):
        open_collection(f"wds/{tmp_path}/none", ReaderOptions())
    with pytest.raises(ValueError, match=r"no file ends in \.tar\.$"):
        open_collection(f"wds/{tmp_path}", ReaderOptions())
    few(tmp_path, "a.tar").rename(tmp_path / "a.tar.gz")
    with pytest.raises(ValueError, match=r"Uncompress a\.tar\.gz"):
        open_collection(f"wds/{tmp_path}", ReaderOptions())
    with pytest.raises(ValueError, match="is not a shard"):
        open_collection(f"wds/{tmp_path}/a.tar.gz", ReaderOptions())


GOOD = sample("good", b"image", 1)
#: Files that are no sample, and what is said of them.
FAULTS = {
    "no label": ([("bad.png", b"x")], r"bad has no label \(\.cls\)"),
    "no image": ([("bad.cls", b"1")], "bad has a label but no image"),
    "two images": ([*sample("bad", b"x", 1), ("bad.jpg", b"y")], r"several images \(png, jpg\).* input_key \("),
    "long label": (sample("bad", b"x", "1" * 2000), "has 2000 bytes in bad.cls, expected at most 1000"),
    "bytes": ([("bad.png", b"x"), ("bad.cls", b"\xff\xfe")], "not text in UTF-8"),
    "empty label": ([("bad.png", b"x"), ("bad.cls", b" ")], "neither a number nor a name"),
    "leaves": ([("../bad.png", b"x"), ("../bad.cls", b"1")], r"\.\./bad\.png must not be used \(its name leaves"),
    "long name": (sample("bad", b"x", "1" * 300), "neither a number nor a name"),
    "twice": ([("bad.png", b"x"), ("bad.png", b"y"), ("bad.cls", b"1")], "bad has no label"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_samples_that_are_not_as_expected_stop_or_are_left_out(tmp_path, caplog, name):
    files, said = FAULTS[name]
    write_tar(tmp_path / "a.tar", [*GOOD, *files, *sample("late", b"more", 0)])
    with pytest.raises(ValueError, match=rf"(?s)^(?=.*use on_bad='drop' \(--on-bad drop\)).*a\.tar: .*{said}"):
        read(tmp_path)
    with caplog.at_level(logging.WARNING):
        _, part = read(tmp_path, options=SKIP)
    assert part.labels[0] == 1 and part.labels[-1] == 0 and len(part.labels) == 2 + (name == "twice")
    assert "left out:" in caplog.text


def test_numbers_among_names_are_said(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [*sample("a", b"x", "cat"), *sample("b", b"x", 7), *sample("c", b"x", 8)])
    assert read(tmp_path)[1].labels == ["cat", "7", "8"]
    assert "has numbers and names as labels, 2 of 3 are numbers (7, 8; cat)" in caplog.text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (b"{", "not JSON"),
        (b"[" * 60000, "not JSON"),
        (b"[1]", "has no kind in its .json"),
        (b'{"kind": [1]}', "neither a number nor a name"),
        (b'{"kind": true}', "neither a number nor a name"),
        (b'{"kind": 1.5}', "neither a number nor a name"),
        (b'{"kind": "' + b"x" * 300 + b'"}', "neither a number nor a name"),
        (b" " * 70000 + b"{}", "has 70002 bytes"),
    ],
)
def test_labels_in_json_that_are_not_as_expected(tmp_path, values, said):
    write_tar(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.json", values), *sample("b", b"y", {"kind": "cat"})])
    with pytest.raises(ValueError, match=said):
        read(tmp_path, options=ReaderOptions(target_key="kind"))
    _, part = read(tmp_path, options=ReaderOptions(target_key="kind", on_bad="drop"))
    assert part.labels == ["cat"]


def test_keys_choose_images_and_labels_and_unlabeled_images_are_left_out(tmp_path):
    files = [("a.jpg", b"1"), ("a.png", b"2"), ("a.cls", b"0"), ("a.kind", b"5"), *sample("b", b"3", -1, "jpg")]
    write_tar(tmp_path / "a.tar", files)
    _, part = read(tmp_path, options=ReaderOptions(input_key="png;jpg"))
    assert ([image.content() for image in part.images], part.labels) == ([b"2"], [0])
    write_tar(tmp_path / "a.tar", files[:4])
    assert read(tmp_path, options=ReaderOptions(input_key="JPG", target_key="kind"))[1].labels == [5]


def test_of_many_faults_the_first_are_logged(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [*GOOD, *((f"{i}.png", b"x") for i in range(50))])
    read(tmp_path, options=SKIP)
    assert caplog.text.count(" has no label") == MOST_NAMED and "50 of 51 samples are left out" in caplog.text
    assert "\n  and 40 more\n" in caplog.text
    with pytest.raises(
        ValueError, match=r"^50 of 51 samples cannot be used; remove them, or use on_bad='drop' \(--on-bad drop\):\n  "
    ):
        read(tmp_path)


def test_a_shard_that_is_cut_short_gives_its_first_samples(tmp_path):
    path = write_tar(tmp_path / "a.tar", [*GOOD, *sample("b", b"x" * 5000, 0)])
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(ValueError, match=r"a\.tar is not read to its end \(it is cut short: a file has 5000 bytes"):
        read(tmp_path)
    assert read(tmp_path, options=SKIP)[1].labels == [1]


def test_images_are_limited_and_shards_may_change(tmp_path, monkeypatch):
    path = write_tar(tmp_path / "a.tar", GOOD)
    image = read(tmp_path)[1].images[0]
    assert (image.file, image.size, str(image)) == (str(path), 5, f"{path}: good.png")
    path.write_bytes(path.read_bytes()[:515])
    with pytest.raises(UnreadableImageError, match="has become shorter"):
        read_image(image)
    monkeypatch.setattr("vig_pyg.classification.readers.shards.MAX_BYTES", 4)
    assert _limits.MAX_BYTES > 4
    with pytest.raises(UnreadableImageError, match="larger than 4 bytes"):
        image.content()
    path.unlink()
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError):
        read_image(image)


def test_random_damage_is_left_out_or_named(tmp_path):
    """Bytes of shards are changed, removed or repeated: only documented errors, and no image with another's label."""
    rng, pixels = np.random.default_rng(0), [np.full((4, 5), 40 * i, np.uint8) for i in range(6)]
    files = []
    for i, array in enumerate(pixels):
        Image.fromarray(array).save(buffer := io.BytesIO(), "PNG")
        files += sample(f"{i}", buffer.getvalue(), i)
    whole = write_tar(tmp_path / "whole.tar", files).read_bytes()
    outcomes = collections.Counter()
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(int(rng.integers(1, 4))):
            place, length = int(rng.integers(len(content))), int(rng.integers(1, 1200))
            kind = rng.integers(3)
            content[place : place + (1 if kind == 0 else length if kind == 1 else 0)] = (
                rng.bytes(1) if kind == 0 else b"" if kind == 1 else content[place : place + length]
            )
        (tmp_path / "a.tar").write_bytes(content)
        _, part = read(tmp_path / "a.tar", options=SKIP)
        outcomes["left out"] += len(part.images) < 6
        try:
            read(tmp_path / "a.tar")
            outcomes["whole"] += 1
        except ValueError as error:
            assert "a.tar" in str(error) and "use on_bad='drop' (--on-bad drop)" in str(error)
            outcomes["named"] += 1
        for image, label in zip(part.images, part.labels, strict=True):
            try:
                found = np.asarray(read_image(image))
                outcomes["read"] += 1
                own = int(label) if str(label) in "012345" else None  # a damaged label can be any text
                outcomes["other"] += own is None or not (found == pixels[own]).all()
            except UnreadableImageError:
                outcomes["broken"] += 1
    assert outcomes["read"] > 500 and min(outcomes[key] for key in ("whole", "named", "left out")) > 50
    assert outcomes["other"] < 0.02 * outcomes["read"], outcomes
