"""Small image folders for tests, and files that are hard to read."""

import struct
import zlib

import numpy as np
from PIL import Image


def make_folder(root, train=8, val=4):
    """Two classes of pictures that differ in colour, in two sizes, in `train/` and `val/`."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for c, name in enumerate(("blue", "red")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (24 + 8 * (i % 2), 40, 3), dtype=np.uint8)
                pixels[..., 0 if c else 2] += 150
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    return root


#: Files that are no good pictures, and the reason that is given (a regular expression).
BROKEN = {
    "truncated.jpg": r"damaged or cut short",
    "truncated.png": r"damaged or cut short",
    "zero.jpg": r"the file is empty",
    "text.jpg": r"no picture, or of a kind that PIL cannot read",
    "weights.png": r"no picture, or of a kind that PIL cannot read",
    "huge.png": r"larger than \d+ pixels",
    "narrow.png": r"1 x 200 pixels are too narrow",
    "float.tif": r"holds floating-point numbers",
    "32_bits.tif": r"its integers are not of 16 bits",
}
#: Files that are unusual, and the colour (red, green, blue) that they show.
ODD = {
    "cmyk.jpg": (200, 100, 50),
    "16_bits.png": (77, 77, 77),
    "16_bits.tif": (77, 77, 77),
    "animated.gif": (200, 100, 50),
    "animated.webp": (200, 100, 50),
    "animated.png": (200, 100, 50),
    "palette.png": (200, 100, 50),
    "transparent_palette.gif": (255, 255, 255),
    "transparent.png": (255, 255, 255),
    "half_transparent_grey.png": (154, 154, 154),
    "1_bit.png": (255, 255, 255),
    "grey.jpg": (99, 99, 99),
    "ycbcr.tif": (200, 100, 50),
    "one_pixel.bmp": (200, 100, 50),
    "upper_case.JPG": (200, 100, 50),
    "wrong_ending.png": (200, 100, 50),  # in truth a JPEG
}


def make_odd(folder):
    """The files of `BROKEN` and `ODD`."""
    folder.mkdir(parents=True, exist_ok=True)
    _make_broken(folder)
    colour = Image.new("RGB", (40, 30), (200, 100, 50))
    other = Image.new("RGB", (40, 30), (0, 0, 255))
    ink = Image.frombytes("CMYK", (40, 30), bytes((0, 128, 192, 55)) * 1200)  # 255 - 200, and shares of 200
    ink.save(folder / "cmyk.jpg", quality=100, subsampling=0)
    deep = Image.fromarray(np.full((30, 40), 77 * 257, dtype=np.uint16))
    for name in ("16_bits.png", "16_bits.tif"):
        deep.save(folder / name)
    for name in ("animated.gif", "animated.webp", "animated.png"):
        colour.save(folder / name, save_all=True, append_images=[other], **{"lossless": True} if "webp" in name else {})
    colour.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    Image.new("P", (40, 30), 3).save(folder / "transparent_palette.gif", transparency=3)
    Image.new("RGBA", (40, 30), (200, 100, 50, 0)).save(folder / "transparent.png")
    Image.new("LA", (40, 30), (53, 128)).save(folder / "half_transparent_grey.png")
    Image.new("1", (40, 30), 1).save(folder / "1_bit.png")
    Image.new("L", (40, 30), 99).save(folder / "grey.jpg")
    colour.convert("YCbCr").save(folder / "ycbcr.tif")
    colour.crop((0, 0, 1, 1)).save(folder / "one_pixel.bmp")
    colour.save(folder / "upper_case.JPG")
    colour.save(folder / "wrong_ending.png", format="JPEG")
    return folder


def _make_broken(folder):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 50, 3), dtype=np.uint8))
    for name in ("truncated.jpg", "truncated.png"):
        noise.save(folder / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    (folder / "zero.jpg").touch()
    (folder / "text.jpg").write_text("I am a picture, honestly.")
    (folder / "weights.png").write_bytes(bytes(range(256)) * 8)
    (folder / "huge.png").write_bytes(png_header(50_000, 50_000))
    Image.new("L", (1, 200)).save(folder / "narrow.png")
    Image.new("F", (40, 30), 0.5).save(folder / "float.tif")
    Image.new("I", (40, 30), 1 << 20).save(folder / "32_bits.tif")


def png_header(width, height):
    """A file that says it is a picture of that size, and ends."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
