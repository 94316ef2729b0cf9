"""Small files that would take much time or memory, and files beside them that are fine."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.images import make_various, png_chunk, scene
from vig_pyg.image_io import IMAGE_FORMATS, UnreadableImageError, headers, read_image, stored_size


def directory(entries, order="<", big=False):
    """A TIFF directory; of each entry tag, type, count, value."""
    head, entry = ("Q", "HHQQ") if big else ("H", "HHLL")
    body = b"".join(struct.pack(order + entry, *one) for one in entries)
    return struct.pack(order + head, len(entries)) + body + bytes(8 if big else 4)


def tiff(entries, order="<", big=False):
    """TIFF data with one directory at its start."""
    mark = b"II" if order == "<" else b"MM"
    if big:
        return mark + struct.pack(order + "HHHQ", 43, 8, 0, 16) + directory(entries, order, big)
    return mark + struct.pack(order + "HL", 42, 8) + directory(entries, order)


def overlapping(kind, count, tags=3000, **options):
    return tiff([(700 + i, kind, count, 8) for i in range(tags)], **options)


def segment(marker, content):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg(*segments, **options):
    """A JPEG file of `scene` with more segments."""
    file = io.BytesIO()
    Image.fromarray(scene()).save(file, "JPEG", **options)
    return b"\xff\xd8" + b"".join(segments) + file.getvalue()[2:]


def exif_segments(data):
    parts = [data[i : i + 65_000] for i in range(0, len(data), 65_000)]
    return [segment(0xE1, b"Exif\0\0" + part) for part in parts]


def many_passes():
    """Progressive, with its last scan again and again."""
    content = jpeg(progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * 500 + content[-2:]


def gif_with_comment(size):
    file = io.BytesIO()
    Image.fromarray(scene()).save(file, "GIF")
    content = file.getvalue()
    start = 13 + (3 << ((content[10] & 7) + 1) if content[10] & 0x80 else 0)
    comment = b"!\xfe" + b"".join(b"\xff" + bytes(255) for _ in range(size // 255)) + b"\0"
    return content[:start] + comment + content[start:]


def png_with_chunks(count):
    file = io.BytesIO()
    Image.fromarray(scene()).save(file, "PNG")
    content = file.getvalue()
    return content[:33] + png_chunk(b"abCd", b"") * count + content[33:]


@pytest.fixture
def read(tmp_path):
    def read(content):
        (tmp_path / "a").write_bytes(content)
        return read_image(tmp_path / "a")

    return read


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_directories_whose_tags_overlap_are_refused(read, order, big):
    for kind, count in ((7, 30_000), (1, 30_000), (2, 30_000), (4, 9000)):
        with pytest.raises(UnreadableImageError, match="its tags overlap"):
            read(overlapping(kind, count, order=order, big=big))
    inner = len(tiff([(34665, 4, 1, 0)], order, big))
    nested = tiff([(34665, 4, 1, inner)], order, big)
    entries = [(700 + i, 7, 30_000, 8) for i in range(3000)]
    with pytest.raises(UnreadableImageError, match="its tags overlap"):
        read(nested + directory(entries, order, big))


def test_tags_of_many_numbers_are_refused(read):
    with pytest.raises(UnreadableImageError, match="tag 273 has 5000000 numbers"):
        read(tiff([(273, 4, 5_000_000, 8)]))


def test_exif_data_of_photos_is_checked_too(read):
    with pytest.raises(UnreadableImageError, match="its tags overlap"):
        read(jpeg(*exif_segments(overlapping(7, 30_000, tags=5000))))
    with pytest.raises(UnreadableImageError, match="its tags overlap"):
        read(jpeg(*exif_segments(overlapping(7, 400_000, tags=30_000))))  # divided between segments
    with pytest.raises(UnreadableImageError, match="its tags overlap"):
        read(jpeg(segment(0xE2, b"MPF\0" + overlapping(7, 60_000, tags=5000))))
    with pytest.raises(UnreadableImageError, match="more than 16777216 bytes of EXIF data"):
        read(jpeg(*exif_segments(bytes(17 << 20))))


@pytest.mark.skipif("AVIF" not in IMAGE_FORMATS, reason="Pillow without AVIF")
def test_exif_data_of_avif_files_is_checked_too(read):
    hostile, file = overlapping(7, 30_000), io.BytesIO()
    harmless = tiff([(256, 3, 1, 1)]).ljust(len(hostile), b"\0")
    Image.fromarray(scene()).save(file, "AVIF", exif=b"Exif\0\0" + harmless)
    content = file.getvalue()
    assert read(content).size == (40, 24)
    assert content.count(harmless) == 1
    with pytest.raises(UnreadableImageError, match="its tags overlap"):
        read(content.replace(harmless, hostile))


def test_a_circle_of_directories_ends(read):
    with pytest.raises(UnreadableImageError):
        read(tiff([(34665, 4, 1, 8), (34853, 4, 1, 8)]))


def test_jpeg_files_of_many_passes_or_segments_are_refused(read, monkeypatch):
    assert read(many_passes()).size == (40, 24)
    monkeypatch.setattr(headers, "MAX_PIXELS", 960)
    with pytest.raises(UnreadableImageError, match="too many passes over its 960 pixels"):
        read(many_passes())
    assert read(jpeg(progressive=True)).size == (40, 24)
    with pytest.raises(UnreadableImageError, match="more than 10000 segments"):
        read(jpeg(*[segment(0xFE, b"")] * 10_001))


def test_gif_comments_and_png_chunks_are_bounded(read, monkeypatch):
    assert read(gif_with_comment(100_000)).size == (40, 24)
    with pytest.raises(UnreadableImageError, match="bytes of comments"):
        read(gif_with_comment(1_100_000))
    assert read(png_with_chunks(2000)).size == (40, 24)
    monkeypatch.setattr(headers, "_MOST_CHUNKS", 1000)
    with pytest.raises(UnreadableImageError, match="more than 1000 chunks"):
        read(png_with_chunks(2000))


def test_random_damage_is_refused_or_read(tmp_path):
    rng = np.random.default_rng(0)
    counts = {"read": 0, "refused": 0}
    for path in make_various(tmp_path / "various"):
        content = path.read_bytes()
        for _ in range(8):
            damaged = bytearray(content[: int(rng.integers(1, len(content) + 1))] if rng.random() < 0.3 else content)
            for place in rng.integers(0, min(len(damaged), 400), rng.integers(1, 6)):
                damaged[place] = rng.integers(0, 256)
            path.write_bytes(damaged)
            try:
                image = read_image(path)
            except UnreadableImageError as error:
                assert str(error)
                counts["refused"] += 1
            else:
                assert image.mode in ("L", "LA", "RGB", "RGBA")
                counts["read"] += 1
    assert counts["refused"] > 150 and counts["read"] > 100, counts


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC: convert it to JPEG or PNG"),
        (b"\0\0\0\x28ftypheix\0\0\0\0mif1MiHEheix", "HEIC: convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC: convert it to JPEG or PNG"),
        (b"%PDF-1.7\n%", "PDF file: convert it to JPEG or PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG drawing: convert it to PNG"),
        (b'<?xml version="1.0" encoding="utf-8"?>\n<svg/>', "SVG drawing: convert it to PNG"),
        (b"<!DOCTYPE html>\n<html>404", "web page: download the image again"),
        (b"\n <HTML><body>login", "web page: download the image again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
            "Git LFS pointer: download the image with `git lfs pull`",
        ),
    ],
)
def test_other_things_under_the_name_of_an_image_are_called_by_theirs(tmp_path, content, what):
    (tmp_path / "photo.jpg").write_bytes(content + b"\0" * 3000)
    for read in (read_image, stored_size):
        with pytest.raises(UnreadableImageError, match=what):
            read(tmp_path / "photo.jpg")
