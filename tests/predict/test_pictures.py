import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pictures import BROKEN, ODD, make_odd, png_header
from vig_pyg.predict import BrokenPictureError, find_pictures, pictures, read_picture


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return make_odd(tmp_path_factory.mktemp("odd"))


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_seen_as_people_see_them(odd, name):
    image = read_picture(odd / name)
    assert image.mode in ("L", "RGB")
    pixels = np.asarray(image.convert("RGB")).reshape(-1, 3).astype(int)
    assert np.abs(pixels - ODD[name]).max() <= 4  # JPEG's rounding


@pytest.mark.parametrize("name", BROKEN)
def test_broken_pictures_are_refused_with_the_reason(odd, name):
    with pytest.raises(BrokenPictureError, match=BROKEN[name]) as caught:
        read_picture(odd / name)
    assert name not in str(caught.value)


@pytest.mark.parametrize(("deep", "want"), [(0, 0), (128, 0), (129, 1), (65535, 255), (65535 - 129, 254)])
def test_16_bits_become_8(tmp_path, deep, want):
    Image.fromarray(np.full((8, 8), deep, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert read_picture(tmp_path / "deep.png").getextrema() == (want, want)


def test_the_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg").size == (30, 40)


def test_a_large_picture_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    (tmp_path / "large.png").write_bytes(png_header(12_000, 12_000))  # PIL alone would warn and decode
    with pytest.raises(BrokenPictureError, match="damaged or cut short"):
        read_picture(tmp_path / "large.png")
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1000)
    with pytest.raises(BrokenPictureError, match="12000 x 12000 is larger than 1000 pixels"):
        read_picture(tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(BrokenPictureError, match="larger than 1000 pixels"):
        read_picture(tmp_path / "large.png")


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    Image.new("L", (8, 8)).save(tmp_path / "secret.png")

    def deny(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Image, "open", deny)
    with pytest.raises(BrokenPictureError, match=r"^it cannot be opened \(Permission denied\)$"):
        read_picture(tmp_path / "secret.png")


def test_a_missing_picture_is_named(tmp_path):
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"There is no picture at {path}"):
            read_picture(path)


@pytest.fixture
def tree(tmp_path):
    for name in ("b.png", "a.JPG", "inside/deep/c.webp", "inside/notes.txt", "inside/report.pdf", "inside/[x].gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def names(found, root):
    return [str(path.relative_to(root)) for path in found]


def test_files_folders_and_patterns_give_each_picture_once_in_order(tree):
    assert names(find_pictures([tree]), tree) == ["a.JPG", "b.png", "inside/[x].gif", "inside/deep/c.webp"]
    assert names(find_pictures([tree / "b.png", tree, tree / "b.png"]), tree)[:2] == ["b.png", "a.JPG"]
    assert names(find_pictures([f"{tree}/*.png"]), tree) == ["b.png"]
    assert names(find_pictures([f"{tree}/**/*.webp"]), tree) == ["inside/deep/c.webp"]
    assert names(find_pictures([tree / "inside" / "[x].gif"]), tree) == ["inside/[x].gif"]  # a name before a pattern
    assert names(find_pictures([str(tree / "inside" / "notes.txt")]), tree) == ["inside/notes.txt"]  # named: taken


def test_nothing_found_is_an_error(tree):
    with pytest.raises(FileNotFoundError, match=r"There is no picture at .*/\*\.tif"):
        find_pictures([tree / "b.png", f"{tree}/*.tif"])
    (tree / "empty").mkdir()
    with pytest.raises(ValueError, match=r"The folder .*empty has no pictures"):
        find_pictures([tree / "empty"])
    assert find_pictures([]) == []


def test_paths_beside_the_current_folder(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert find_pictures(["b.png", "./b.png"]) == [Path("b.png")]
