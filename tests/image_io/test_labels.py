import numpy as np
import pytest
from PIL import Image

from vig_pyg.image_io import UnreadableImageError, read_labels
from vig_pyg.image_io.labels import LOSSY

RNG = np.random.default_rng(0)
NUMBERS = RNG.integers(0, 256, (7, 11), dtype=np.uint8)


def palette(numbers):
    image = Image.fromarray(numbers)
    image = image.copy()
    image.putpalette(RNG.integers(0, 256, 768, dtype=np.uint8).tolist())
    assert image.mode == "P"
    return image


@pytest.mark.parametrize("end", ["png", "bmp", "tiff", "gif", "pgm"])
@pytest.mark.parametrize("make", [Image.fromarray, palette])
def test_numbers_are_read_whatever_the_palette(tmp_path, end, make):
    image = make(NUMBERS)
    if end == "gif" or (end == "pgm" and image.mode == "P"):
        pytest.skip("GIF sorts its palette, PGM has none")
    path = tmp_path / f"a.{end}"
    image.save(path)
    found = read_labels(path)
    assert found.dtype == np.uint8 and np.array_equal(found, NUMBERS)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_palettes_and_bits(tmp_path, bits):
    numbers = RNG.integers(0, 2**bits, (5, 9), dtype=np.uint8)
    palette(numbers).save(tmp_path / "a.png", bits=bits)
    assert np.array_equal(read_labels(tmp_path / "a.png"), numbers)
    if bits == 1:
        Image.fromarray(numbers.astype(bool)).save(tmp_path / "b.png")
        assert np.array_equal(read_labels(tmp_path / "b.png"), numbers)


def test_transparent_entries_of_a_palette_stay_what_they_are(tmp_path):
    palette(NUMBERS).save(tmp_path / "a.png", transparency=int(NUMBERS[0, 0]))
    assert np.array_equal(read_labels(tmp_path / "a.png"), NUMBERS)


def test_sixteen_bits(tmp_path):
    numbers = RNG.integers(0, 65536, (5, 9), dtype=np.uint16)
    Image.fromarray(numbers).save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png"), numbers)


def test_color_is_read_only_if_it_is_expected(tmp_path):
    pixels = RNG.integers(0, 256, (5, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png", color=True), pixels)
    with pytest.raises(UnreadableImageError, match="in color without a palette"):
        read_labels(tmp_path / "a.png")
    palette(NUMBERS).save(tmp_path / "b.png")
    with pytest.raises(UnreadableImageError, match="not in color"):
        read_labels(tmp_path / "b.png", color=True)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK"])
def test_every_mode_without_numbers_is_refused(tmp_path, mode):
    path = tmp_path / ("a.tiff" if mode == "CMYK" else "a.png")
    Image.new(mode, (4, 3)).save(path)
    with pytest.raises(UnreadableImageError, match=f"its mode is {mode}"):
        read_labels(path)


@pytest.mark.parametrize("kind", [kind for kind in LOSSY if kind != "MPO"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_lossy_formats_are_refused_whatever_their_extension(tmp_path, kind, name):
    Image.fromarray(NUMBERS).save(tmp_path / name, format=kind)
    with pytest.raises(UnreadableImageError, match=f"format {kind}, which blurs"):
        read_labels(tmp_path / name)


@pytest.mark.parametrize("turn", range(1, 9))
def test_an_orientation_of_its_own_is_applied(tmp_path, turn):
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(NUMBERS).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        want = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_labels(tmp_path / "a.png"), want)


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_labels(tmp_path / "none.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    np.save(tmp_path / "a.npy", NUMBERS)
    Image.fromarray(NUMBERS).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    Image.fromarray(NUMBERS.astype(np.float32)).save(tmp_path / "float.tiff")
    for name in ("empty.png", "text.png", "a.npy", "cut.png", "float.tiff"):
        with pytest.raises(UnreadableImageError):
            read_labels(tmp_path / name)
