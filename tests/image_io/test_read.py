import errno
import logging
import os
import pickle
import re
import socket
import struct
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.images import BROKEN, ODD, TURNED, make_odd, make_various, png_header, scene
from vig_pyg.image_io import (
    IMAGE_EXTENSIONS,
    UnreadableImageError,
    _limits,
    _read_array,
    find_images,
    images_in,
    is_passed_over,
    normalize_image,
    read_image,
    with_channels,
)


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    return make_odd(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def various(tmp_path_factory):
    return make_various(tmp_path_factory.mktemp("various"))


def rgb(image):
    return np.asarray(with_channels(image, 3)).astype(int)


class TestReading:
    def test_every_format_mode_and_orientation_is_seen_as_people_see_it(self, various):
        wrong = {}
        for path, (pixels, deviation) in various.items():
            image = read_image(path)
            assert type(image) is Image.Image and image.mode in ("L", "LA", "RGB", "RGBA") and not image.info
            shown = rgb(image)
            if shown.shape != pixels.shape or np.abs(shown - pixels).max() > deviation:
                wrong[path.name] = (shown.shape, image.mode)
        assert len(various) > 80 and not wrong

    @pytest.mark.parametrize("name", ODD)
    def test_odd_images(self, odd, name):
        assert np.abs(rgb(read_image(odd / name)) - ODD[name]).max() <= 4  # JPEG's rounding

    @pytest.mark.parametrize("name", BROKEN)
    def test_broken_images_are_refused_with_the_reason(self, odd, name):
        with pytest.raises(UnreadableImageError, match=BROKEN[name]) as caught:
            read_image(odd / name)
        assert name not in str(caught.value)

    @pytest.mark.parametrize(("deep", "want"), [(0, 0), (128, 0), (129, 1), (65535, 255), (65535 - 129, 254)])
    def test_16_bits_become_8(self, tmp_path, deep, want):
        for name in ("deep.png", "deep.tif"):
            Image.fromarray(np.full((8, 8), deep, dtype=np.uint16)).save(tmp_path / name)
            assert read_image(tmp_path / name).getextrema() == (want, want)

    @pytest.mark.parametrize(
        ("bits", "white", "want"), [(12, 1, [0, 128, 255]), (16, 1, [0, 128, 255]), (16, 0, [255, 127, 0])]
    )
    def test_gray_tiff_files_of_12_bits_and_of_16_whose_zero_is_white(self, tmp_path, bits, white, want):
        values = (0, 2056, 4095, 0) if bits == 12 else (0, 128 * 257, 65535, 0)
        packed = int("".join(f"{value:012b}" for value in values), 2).to_bytes(6, "big") if bits == 12 else b""
        data = packed or struct.pack("<4H", *values)
        tags = [
            (256, 4),
            (257, 1),
            (258, bits),
            (259, 1),
            (262, white),
            (273, 134),
            (277, 1),
            (278, 1),
            (279, len(data)),
        ]
        directory = b"".join(struct.pack("<HHLHH", tag, 3, 1, value, 0) for tag, value in tags)
        head = b"II*\0" + struct.pack("<LH", 8, len(tags)) + directory + bytes(4)
        (tmp_path / "a.tif").write_bytes(head.ljust(134, b"\0") + data)
        assert np.asarray(read_image(tmp_path / "a.tif"))[0, :3].tolist() == want

    def test_damaged_exif_data_does_not_hinder(self, tmp_path):
        image = Image.fromarray(scene())
        for damage in (
            b"",
            b"Exif\0\0",
            b"Exif\0\0II",
            b"Exif\0\0II*\0\xff\xff\xff\xff",
            b"Exif\0\0XX*\0\x08\0\0\0\1\0",
        ):
            image.save(tmp_path / "a.png", exif=damage)
            assert np.array_equal(rgb(read_image(tmp_path / "a.png")), scene())
        for value in (0, 9, 77):
            exif = Image.Exif()
            exif[0x0112] = value
            image.save(tmp_path / "a.png", exif=exif)
            assert np.array_equal(rgb(read_image(tmp_path / "a.png")), scene())

    @pytest.mark.parametrize("orientation", TURNED)
    def test_the_orientation_of_xmp_and_of_imagemagick(self, orientation):
        stored = Image.fromarray(np.ascontiguousarray(TURNED[orientation](scene())))
        stored.info["xmp"] = b'<rdf:Description tiff:Orientation="%d"/>' % orientation
        assert np.array_equal(rgb(stored), scene())
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.info = {"Raw profile type exif": f"\nexif\n    99\n{exif.tobytes().hex()}\n"}
        assert np.array_equal(rgb(stored), scene())

    def test_a_large_image_is_refused_before_it_is_decoded(self, tmp_path, monkeypatch):
        (tmp_path / "large.png").write_bytes(png_header(12_000, 12_000))  # Pillow alone would warn and decode
        with pytest.raises(UnreadableImageError, match="damaged or cut short"):
            read_image(tmp_path / "large.png")
        monkeypatch.setattr(_limits, "MAX_PIXELS", 1000)
        with pytest.raises(UnreadableImageError, match="12000 x 12000 is larger than 1000 pixels"):
            read_image(tmp_path / "large.png")
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
        with pytest.raises(UnreadableImageError, match=r"larger than \d+ pixels"):
            read_image(tmp_path / "large.png")

    def test_a_large_file_is_not_read(self, tmp_path):
        with (tmp_path / "large.png").open("wb") as file:
            file.truncate(2 << 30)  # takes no room on the disk
        with pytest.raises(UnreadableImageError, match=r"the file is larger than \d+ bytes"):
            read_image(tmp_path / "large.png")

    @pytest.mark.parametrize("name", ["EPS", "PDF", "TGA", "PCX", "ICO", "SGI", "DDS", "MSP", "XBM"])
    def test_other_formats_of_pillow_are_never_decoded(self, tmp_path, name):
        Image.new("1" if name in ("MSP", "XBM") else "RGB", (16, 16)).save(tmp_path / "a.png", format=name)
        with pytest.raises(UnreadableImageError, match=r"not an image, or not in one of the formats JPEG"):
            read_image(tmp_path / "a.png")

    def test_a_file_that_may_not_be_read_is_not_called_damaged(self, tmp_path, monkeypatch):
        Image.new("L", (8, 8)).save(tmp_path / "secret.png")

        def deny(*_, **__):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", deny)
        with pytest.raises(UnreadableImageError, match=r"^it cannot be opened \(Permission denied\)$"):
            read_image(tmp_path / "secret.png")

    def test_a_missing_image_is_named(self, tmp_path):
        for path in (tmp_path / "none.png", tmp_path, tmp_path / "a\0b.png"):
            with pytest.raises(FileNotFoundError, match=f"There is no image at {re.escape(str(path))}"):
                read_image(path)

    def test_pipes_sockets_and_devices_are_not_opened(self, tmp_path, monkeypatch):
        os.mkfifo(tmp_path / "pipe.png")
        monkeypatch.chdir(tmp_path)  # the name of a socket is short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket.png")
            (tmp_path / "link.png").symlink_to("/dev/zero")
            monkeypatch.setattr(os, "open", None)
            for name in ("pipe.png", "socket.png", "link.png"):
                with pytest.raises(UnreadableImageError, match="it is a pipe, a socket or a device"):
                    read_image(tmp_path / name)

    def test_threads_that_read_leave_warnings_as_they_were(self, tmp_path):
        Image.new("P", (8, 8)).save(tmp_path / "a.png", transparency=bytes(range(256)))
        before = list(warnings.filters)

        def read():
            for _ in range(20):
                read_image(tmp_path / "a.png")

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert warnings.filters == before

    def test_the_error_travels_between_processes(self):
        error = pickle.loads(pickle.dumps(UnreadableImageError("why")))
        assert isinstance(error, ValueError) and str(error) == "why"


class TestChannels:
    @pytest.mark.parametrize("mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr",
                                      "LAB", "HSV", "I", "I;16", "I;16B", "I;16L"])  # fmt: skip
    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_every_mode_gets_every_number_of_channels(self, mode, channels):
        image = with_channels(Image.new(mode, (4, 3)), channels)
        assert (len(image.getbands()), image.size) == (channels, (4, 3))

    def test_what_is_transparent_lies_on_white_only_where_there_is_no_opacity(self):
        image = Image.new("RGBA", (1, 1), (200, 100, 50, 0))
        assert with_channels(image, 3).getpixel((0, 0)) == (255, 255, 255)
        assert with_channels(image, 1).getpixel((0, 0)) == 255
        assert with_channels(image, 4).getpixel((0, 0)) == (200, 100, 50, 0)
        assert with_channels(image, 2).getpixel((0, 0))[1] == 0

    def test_other_channels_and_floats_are_refused(self):
        with pytest.raises(ValueError, match=r"for in_channels=5 use \.npy arrays"):
            with_channels(Image.new("L", (1, 1)), 5)
        with pytest.raises(UnreadableImageError, match="floating-point"):
            normalize_image(Image.new("F", (1, 1)))

    def test_a_normalized_image_is_not_copied(self):
        image = Image.new("RGB", (4, 3))
        assert with_channels(image, 3) is image


class TestArrays:
    @pytest.mark.parametrize("kind", ["?", "u1", "<u2", ">u2", "<f2", "<f4", ">f4", "<f8", ">f8"])
    @pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (4, 3, 7)])
    @pytest.mark.parametrize("order", ["C", "F"])
    def test_values_are_bytes_or_floats_to_one(self, tmp_path, kind, shape, order):
        top = {"u1": 255, "u2": 65535}.get(kind[-2:], 1)
        array = (np.random.default_rng(0).random(shape) * top).round().astype(kind)
        np.save(tmp_path / "A.NPY", np.asarray(array, order=order))
        (tmp_path / "A.NPY.npy").rename(tmp_path / "A.NPY")
        found = read_image(tmp_path / "A.NPY")
        assert found.dtype == (np.uint8 if kind == "u1" else np.float32) and found.shape == shape
        np.testing.assert_allclose(found, array.astype(float) / (1 if kind == "u1" else top), atol=1e-6)

    @pytest.mark.parametrize(
        ("array", "reason"),
        [
            (np.zeros((4, 3), np.int64), "of int64, expected uint8"),
            (np.zeros((4, 3), np.complex64), "of complex64, expected uint8"),
            (np.zeros((4, 3), "U2"), "expected uint8"),
            (np.zeros((4, 3), [("a", "u1")]), "expected uint8"),
            (np.array([[{}]]), "of object, expected uint8"),
            (np.zeros(4, np.uint8), r"has the shape \(4,\)"),
            (np.zeros((), np.uint8), r"has the shape \(\)"),
            (np.zeros((4, 3, 2, 1), np.uint8), r"has the shape \(4, 3, 2, 1\)"),
            (np.zeros((0, 3), np.uint8), r"has the shape \(0, 3\)"),
            (np.zeros((4, 3, 0), np.uint8), r"has the shape \(4, 3, 0\)"),
            (np.zeros((1000, 3), np.uint8), "3 x 1000 pixels are too narrow"),
            (np.full((4, 3), np.nan), "not finite"),
            (np.full((4, 3), np.inf, np.float32), "not finite"),
            (np.full((4, 3), 255.0), "floats from 255 to 255, expected from 0 to 1"),
        ],
    )
    def test_other_arrays_are_refused(self, tmp_path, array, reason):
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(UnreadableImageError, match=reason):
            read_image(tmp_path / "a.npy")

    def test_an_array_is_refused_before_its_data_is_read(self, tmp_path, monkeypatch):
        np.save(tmp_path / "a.npy", np.zeros((40, 30), np.uint8))
        content = (tmp_path / "a.npy").read_bytes()
        heads = {
            b"(40, 30), }": b"(40, 31), }",
            b"(40, 30), } ": b"(4, 3, 1 << 60)",
            b"(40, 30), }  ": b"(4, -3, 5), } ",
            b"(40, 30), }   ": b"(9999, 99999),}",
            b"'|u1'": b"'|O1'",
            b"'fortran_order'": b"__import__('os')",
        }
        monkeypatch.setattr(_read_array.npy, "read_array", None)
        for old, new in heads.items():
            (tmp_path / "a.npy").write_bytes(content.replace(old, new))
            with pytest.raises(UnreadableImageError):
                read_image(tmp_path / "a.npy")
        for end in (7, 10, 60, 127):
            (tmp_path / "a.npy").write_bytes(content[:end])
            with pytest.raises(UnreadableImageError, match="damaged or cut short"):
                read_image(tmp_path / "a.npy")

    def test_a_large_array_is_refused(self, tmp_path, monkeypatch):
        np.save(tmp_path / "a.npy", np.zeros((40, 30, 9), np.uint8))
        monkeypatch.setattr(_read_array, "MAX_BYTES", 10_000)
        with pytest.raises(UnreadableImageError, match="array of 10800 bytes is larger than 10000"):
            read_image(tmp_path / "a.npy")


@pytest.fixture
def tree(tmp_path):
    for name in ("b.png", "a.JPG", "inside/deep/c.webp", "inside/notes.txt", "inside/report.pdf", "inside/[x].gif",
                 "._b.png", ".ipynb_checkpoints/d.png", "__MACOSX/e.png", "inside/@eaDir/f.jpg"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def names(found, root):
    return [str(path.relative_to(root)) for path in found]


class TestFinding:
    def test_files_folders_and_patterns_give_each_image_once_in_order(self, tree):
        assert names(find_images([tree]), tree) == ["a.JPG", "b.png", "inside/[x].gif", "inside/deep/c.webp"]
        assert names(find_images([tree / "b.png", tree, tree / "b.png"]), tree)[:2] == ["b.png", "a.JPG"]
        assert names(find_images([f"{tree}/*.png"]), tree) == ["b.png"]
        assert names(find_images([f"{tree}/**/*.webp"]), tree) == ["inside/deep/c.webp"]
        assert names(find_images([f"{tree}/*/d*p/?.webp"]), tree) == ["inside/deep/c.webp"]
        assert names(find_images([tree / "inside" / "[x].gif"]), tree) == ["inside/[x].gif"]  # a name before a pattern
        assert names(find_images([str(tree / "inside" / "notes.txt")]), tree) == ["inside/notes.txt"]  # named: taken

    def test_hidden_files_are_taken_where_they_are_named(self, tree):
        for name in ("._b.png", ".ipynb_checkpoints/d.png", "__MACOSX/e.png"):
            assert names(find_images([tree / name]), tree) == [name]
        assert names(find_images([tree / ".ipynb_checkpoints"]), tree) == [".ipynb_checkpoints/d.png"]
        assert names(find_images([f"{tree}/.*.png"]), tree) == ["._b.png"]

    def test_nothing_found_is_an_error(self, tree):
        with pytest.raises(FileNotFoundError, match=r"There is no image at .*/\*\.tif"):
            find_images([tree / "b.png", f"{tree}/*.tif"])
        with pytest.raises(FileNotFoundError, match=r"There is no image at .*none"):
            find_images([tree / "none"])
        (tree / "empty").mkdir()
        with pytest.raises(ValueError, match=r"The folder .*empty has no images: no file has one of the extensions"):
            find_images([tree / "empty"])
        assert find_images([]) == []

    def test_paths_beside_the_current_folder(self, tree, monkeypatch):
        monkeypatch.chdir(tree)
        assert find_images(["b.png", "./b.png", "b*g"]) == [Path("b.png")]

    def test_links_are_followed_once(self, tree, caplog):
        (tree / "inside" / "up").symlink_to(tree)
        (tree / "inside" / "round").symlink_to(tree / "inside")
        (tree / "again.png").symlink_to(tree / "b.png")
        (tree / "itself.png").symlink_to(tree / "itself.png")
        (tree / "gone.png").symlink_to(tree / "nothing")
        outside = tree.parent / f"{tree.name}-outside"
        outside.mkdir()
        (outside / "z.png").touch()
        (tree / "linked").symlink_to(outside)
        want = ["a.JPG", "b.png", "gone.png", "inside/[x].gif", "inside/deep/c.webp", "itself.png", "linked/z.png"]
        with caplog.at_level(logging.WARNING):
            assert names(images_in(tree), tree) == want
        assert "again.png is skipped: it links to the file of" in caplog.text
        found = names(find_images([f"{tree}/**"]), tree)
        assert len(found) == len(set(found)) == 10  # "again.png" and two that are no images too
        for name in ("gone.png", "itself.png"):
            with pytest.raises((FileNotFoundError, UnreadableImageError)):
                read_image(tree / name)
            assert names(find_images([tree / name]), tree) == [name]

    def test_pipes_are_passed_over_in_folders(self, tree):
        os.mkfifo(tree / "pipe.png")
        assert "pipe.png" not in names(images_in(tree), tree)
        assert names(find_images([tree / "pipe.png"]), tree) == ["pipe.png"]  # named: the reader says what it is

    def test_images_that_are_not_read_are_logged(self, tree, caplog):
        for name in ("a.heic", "b.HEIC", "c.tga"):
            (tree / name).touch()
        with caplog.at_level(logging.WARNING):
            assert len(images_in(tree)) == 4
        assert re.findall(r"Files that end in (\.\w+) are not read", caplog.text) == [".heic", ".tga"]

    def test_what_systems_leave_behind(self):
        for name in (".DS_Store", "._a.jpg", "Thumbs.db", "THUMBS.DB", "desktop.ini", "__MACOSX", ".ipynb_checkpoints"):
            assert is_passed_over(name)
        for name in ("cat", "_cat", "thumbs", "MACOSX", "a.b"):
            assert not is_passed_over(name)

    def test_endings_are_those_of_the_formats(self):
        assert {".jpg", ".jfif", ".jpe", ".png", ".gif", ".bmp", ".tif", ".webp", ".ppm", ".npy"} <= IMAGE_EXTENSIONS
        assert not IMAGE_EXTENSIONS & {".pdf", ".eps", ".ps", ".fli", ".txt"}
