import logging
import random

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.segmentation.scenes import make_folder
from vig_pyg.segmentation.records import SegmentationDataset, check_masks, read_mask
from vig_pyg.segmentation.sources import open_source

RNG = np.random.default_rng(0)


def turned(folder, number, turn):
    """Store an image with an EXIF orientation, by which it must be rotated."""
    exif = Image.Exif()
    exif[0x0112] = turn
    with Image.open(folder / "images" / f"{number}.png") as image:
        pixels = image.convert("RGB")
    pixels.save(folder / "images" / f"{number}.png", exif=exif)


def upright(labels, turn):
    """The labels as PIL rotates an image with this orientation."""
    image = Image.fromarray(np.asarray(labels))
    image.getexif()[0x0112] = turn
    return np.asarray(ImageOps.exif_transpose(image))


@pytest.mark.parametrize("turn", [5, 6, 7, 8])
@pytest.mark.parametrize("drawn", ["before", "after"])
def test_the_mask_of_a_rotated_photo_is_rotated_if_it_was_drawn_before(tmp_path, turn, drawn):
    folder = make_folder(tmp_path / "data", count=1, size=(20, 33))
    turned(folder, 0, turn)
    path = folder / "masks" / "0.png"
    want = upright(Image.open(path), turn)
    if drawn == "after":
        Image.fromarray(want).save(path)
    (record,) = open_source(folder).records
    labels = read_mask(record, 3)
    assert labels.shape == (33, 20) and np.array_equal(labels.numpy(), want)


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_rotation_that_keeps_the_size_is_refused(tmp_path, turn):
    folder = make_folder(tmp_path / "data", count=2, size=(20, 20 if turn > 4 else 33))
    turned(folder, 1, turn)
    with pytest.raises(ValueError, match=rf"images/1\.png is rotated by its EXIF data \(orientation {turn}\)"):
        check_masks(open_source(folder))


def spoil(kind, path, labels):
    """Make a mask unusable in one of the ways of the issue."""
    if kind == "size":
        Image.fromarray(labels[:-1]).save(path)
    elif kind == "twice the size":
        Image.fromarray(labels.repeat(2, 0).repeat(2, 1)).save(path)
    elif kind == "color":
        Image.fromarray(labels).convert("RGB").save(path)
    elif kind == "beyond":
        labels = labels.copy()
        labels[RNG.integers(len(labels)), RNG.integers(len(labels[0]))] = RNG.integers(3, 255)
        Image.fromarray(labels).save(path)
    elif kind == "jpeg":
        Image.fromarray(labels).save(path, format="JPEG")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:50])
    elif kind == "empty":
        path.write_bytes(b"")


KINDS = {
    "size": "a mask needs one label for each pixel",
    "twice the size": "a mask needs one label for each pixel",
    "color": "in color without a palette",
    "beyond": "there are 3 classes",
    "jpeg": "in the format JPEG, which blurs",
    "cut": "cut short",
    "empty": "the file is empty",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
def test_every_odd_mask_is_named_with_its_file(tmp_path, caplog, kind, seed):
    folder, number = make_folder(tmp_path / "data", count=5, seed=seed), random.Random(seed).randrange(5)
    path = folder / "masks" / f"{number}.png"
    spoil(kind, path, np.asarray(Image.open(path)))
    data = open_source(folder)
    with pytest.raises(ValueError, match=KINDS[kind]) as error:
        check_masks(data)
    assert f"masks/{number}.png" in str(error.value)
    with caplog.at_level(logging.WARNING):
        checked = check_masks(data, on_bad="drop")
    assert len(checked.data.records) == 4 and f"masks/{number}.png" in caplog.text
    assert "1 of 5 images is left out: " in caplog.text
    assert len(checked.left_out) == 1 and f"masks/{number}.png" in checked.left_out[0]
    assert checked.left_out[0].file == data.records[number].path and "Buffered" not in checked.left_out[0]


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_an_odd_photo_is_left_out_with_the_reason_alone(tmp_path, content):
    folder = make_folder(tmp_path / "data", count=3)
    data = open_source(folder)
    path = data.records[1].path
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    (fault,) = check_masks(data, on_bad="drop").left_out
    reason = {b"": "cannot be read: the file is empty", None: "there is no such image"}.get(content)
    assert fault.file == path and fault.reason.startswith(reason or "cannot be read: not an image, or not in one")


def test_masks_without_a_label_are_named_and_left_out(tmp_path, caplog):
    folder = make_folder(tmp_path / "data", count=4)
    for number in (1, 3):
        path = folder / "masks" / f"{number}.png"
        Image.fromarray(np.full_like(np.asarray(Image.open(path)), 255)).save(path)
    data = open_source(folder)
    with caplog.at_level(logging.WARNING):
        checked = check_masks(data)
    assert [record.path.stem for record in checked.data.records] == ["0", "2"]
    assert "masks/1.png" in caplog.text and "masks/3.png" in caplog.text
    assert len(check_masks(data, keep_unlabeled=True).data.records) == 4
    for number in (0, 2):
        (folder / "masks" / f"{number}.png").write_bytes((folder / "masks" / "1.png").read_bytes())
        (folder / "images" / f"{number}.png").write_bytes((folder / "images" / "1.png").read_bytes())
    with pytest.raises(ValueError, match=r"None of the 4 images .* no mask has a labeled pixel, such as .*0\.png"):
        check_masks(data)


def test_if_nothing_is_left_the_first_reason_is_told(tmp_path):
    folder = make_folder(tmp_path / "data", count=2)
    for path in (folder / "masks").iterdir():
        path.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"None of the 2 images .* can be used:\n  .*masks/0\.png cannot be used"):
        check_masks(open_source(folder), on_bad="drop")


def test_an_image_that_cannot_be_read_is_named(tmp_path):
    folder = make_folder(tmp_path / "data", count=2)
    (folder / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(
        ValueError,
        match=r"images/1\.png cannot be read.*; correct or remove it, or use on_bad='drop' \(--on-bad drop\)\.$",
    ):
        check_masks(open_source(folder))
    found = open_source(folder)
    (folder / "images" / "1.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1\.png; correct or remove it, or use on_bad='drop' \(--on-bad drop\)\.$"
    ):
        check_masks(found)


def test_pixels_are_counted(tmp_path):
    data = open_source(make_folder(tmp_path / "data", count=6))
    labels = torch.cat([read_mask(record, 3).flatten() for record in data.records]).long()
    assert check_masks(data).counts.tolist() == torch.bincount(labels, minlength=256)[:3].tolist()


def test_a_data_set_needs_images_and_classes():
    with pytest.raises(ValueError, match="has no images"):
        SegmentationDataset("empty", [], ["a"])


@pytest.mark.parametrize("seed", range(6))
def test_classes_may_be_reordered_many_times(tmp_path, seed):
    """The name of every pixel stays, whatever the orders."""
    data, rng = open_source(make_folder(tmp_path / "data", count=2, seed=seed)), random.Random(seed)
    want = [np.array([*data.class_names, *[""] * 253])[record.mask.read()] for record in data.records]
    found, names = data, list(data.class_names)
    for i in range(4):
        names = rng.sample([*names, *([f"more {i}"] if i % 2 else [])], len(names) + i % 2)
        found = found.with_classes(names)
        for record, before in zip(found.records, want, strict=True):
            assert np.array_equal(np.array([*names, *[""] * (256 - len(names))])[record.mask.read()], before)
    back = data.with_classes(["tree", "sky", "road"]).with_classes(data.class_names)
    assert all(torch.equal(read_mask(a, 3), read_mask(b, 3)) for a, b in zip(back.records, data.records, strict=True))


def test_a_name_of_two_classes_is_refused(tmp_path):
    data = open_source(make_folder(tmp_path / "data", count=1))
    for names in (["a", "a"], ["a", "b", "c", "b"], ["x", "", ""]):
        with pytest.raises(ValueError, match=rf"twos has several classes called {names[-1]!r}"):
            SegmentationDataset("twos", data.records, names)
    with pytest.raises(ValueError, match="several classes called 'sky'"):
        data.with_classes(["sky", "road", "tree", "sky"])


@pytest.mark.parametrize("turn", range(2, 9))
def test_a_rotation_that_does_not_change_the_mask_is_not_refused(tmp_path, turn):
    folder = make_folder(tmp_path / "data", count=4, size=(20, 20))
    ring = np.pad(np.full((10, 10), 2, np.uint8), 5, constant_values=1)
    for number, labels in enumerate([np.zeros((20, 20)), np.full((20, 20), 255), ring]):
        turned(folder, number, turn)
        Image.fromarray(np.asarray(labels, dtype=np.uint8)).save(folder / "masks" / f"{number}.png")
    data = open_source(folder)
    assert len(check_masks(data, keep_unlabeled=True).data.records) == 4
    assert np.array_equal(read_mask(data.records[2], 3).numpy(), ring)
    turned(folder, 3, turn)  # its mask is not symmetric
    with pytest.raises(ValueError, match=r"images/3\.png is rotated by its EXIF"):
        check_masks(data)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_truncated_image_is_found_before_the_first_step(tmp_path, caplog, format_name, share):
    folder = make_folder(tmp_path / "data", count=3)
    path = folder / "images" / "1.png"
    with Image.open(path) as image:
        pixels = image.convert("RGB")
    pixels.save(path, format=format_name)
    assert len(check_masks(open_source(folder)).data.records) == 3
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"images/1\.png cannot be read: "):
        check_masks(open_source(folder))
    with caplog.at_level(logging.WARNING):
        checked = check_masks(open_source(folder), on_bad="drop")
    assert [record.path.stem for record in checked.data.records] == ["0", "2"]
    assert "1 of 3 images is left out: " in caplog.text and "images/1.png" in caplog.text
