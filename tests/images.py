"""Small image folders for tests, and files that are hard to read."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

from vig_pyg.image_io import IMAGE_EXTENSIONS


def make_folder(root, train=8, val=4):
    """Two classes of images that differ in color, in two sizes, in `train/` and `val/`."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for c, name in enumerate(("blue", "red")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (24 + 8 * (i % 2), 40, 3), dtype=np.uint8)
                pixels[..., 0 if c else 2] += 150
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    return root


def _reads_ycbcr():
    """Whether this Pillow reads TIFF files in YCbCr that are not compressed; before 13 it called them cut short."""
    file = io.BytesIO()
    Image.new("YCbCr", (40, 24)).save(file, "TIFF")
    try:
        Image.open(file).load()
    except OSError:
        return False
    return True


#: Files that are no good images, and the reason that is given (a regular expression).
BROKEN = {
    "truncated.jpg": r"damaged or cut short",
    "truncated.png": r"damaged or cut short",
    "zero.jpg": r"the file is empty",
    "text.jpg": r"not an image, or not in one of the formats",
    "weights.png": r"not an image, or not in one of the formats",
    "huge.png": r"larger than \d+ pixels",
    "narrow.png": r"1 x 200 pixels are too narrow",
    "float.tif": r"contains floating-point numbers",
    "32_bits.tif": r"its integers do not have 16 bits",
}
#: Files that are unusual, and the color (red, green, blue) that they show.
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
    "half_transparent_gray.png": (154, 154, 154),
    "1_bit.png": (255, 255, 255),
    "gray.jpg": (99, 99, 99),
    **({"ycbcr.tif": (200, 100, 50)} if _reads_ycbcr() else {}),
    "one_pixel.bmp": (200, 100, 50),
    "upper_case.JPG": (200, 100, 50),
    "wrong_ending.png": (200, 100, 50),  # in truth a JPEG
}


#: How the pixels of the upright `image` lie in a file of each EXIF orientation.
TURNED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}


def scene(height=24, width=40):
    """Smooth pixels that look different from every side, `(H, W, 3)`."""
    y, x = np.mgrid[:height, :width]
    return np.stack([6 * x, 10 * y, 255 - 5 * x - 2 * y], axis=-1).clip(0, 255).astype(np.uint8)


def on_white(pixels, opacity):
    """How transparent pixels look on white, rounded; `opacity` is from 0 to 255."""
    opacity = opacity[..., None] / 255
    return np.rint(pixels * opacity + 255 * (1 - opacity)).astype(np.uint8)


def make_various(folder):
    """Files of `scene` in all formats, modes and orientations: {path: (RGB pixels on white, largest deviation)}."""
    folder.mkdir(parents=True, exist_ok=True)
    want = {}
    for make in (_turned, _modes, _formats, _pngs):
        for name, (pixels, deviation) in make(folder).items():
            want[folder / name] = (pixels, deviation)
    return want


def _turned(folder):
    made = {}
    for end, deviation in ((".jpg", 8), (".JPEG", 8), (".png", 0), (".tif", 0), (".webp", 0), (".avif", 12)):
        for orientation, turn in TURNED.items() if end in IMAGE_EXTENSIONS | {".JPEG"} else ():
            exif = Image.Exif()
            exif[0x0112] = orientation
            options = {"lossless": True} if end == ".webp" else {} if end in (".png", ".tif") else {"quality": 98}
            name = f"turned_{orientation}{end}"
            Image.fromarray(np.ascontiguousarray(turn(scene()))).save(folder / name, exif=exif, **options)
            made[name] = (scene(), deviation)
    return made


def _modes(folder):
    image = Image.fromarray(scene())
    flat = np.asarray(image.convert("L"))
    gray = np.dstack([flat] * 3)
    opacity = np.linspace(0, 255, 24 * 40).round().astype(np.uint8).reshape(24, 40)
    clear = Image.fromarray(np.dstack([scene(), opacity]))
    palette = image.convert("P", palette=Image.Palette.ADAPTIVE)
    shown = np.asarray(palette.convert("RGB"))
    index = np.asarray(palette)
    halves = bytes(range(0, 256))
    made = {
        "gray.png": (Image.fromarray(flat), gray, 0),
        "gray_opacity.png": (Image.fromarray(np.dstack([flat, opacity])), on_white(gray, opacity), 1),
        "opacity.png": (clear, on_white(scene(), opacity), 1),
        "opacity.tif": (clear, on_white(scene(), opacity), 1),
        "opacity.webp": (clear, on_white(scene(), opacity), 1),
        "palette.png": (palette, shown, 0),
        "palette.gif": (palette, shown, 0),
        "palette_opacity.png": (palette, on_white(shown, np.arange(256, dtype=np.uint8)[index]), 1),
        "palette_clear.gif": (palette, on_white(shown, np.where(index == 7, 0, 255)), 0),
        "16_bits.png": (Image.fromarray(flat.astype(np.uint16) * 257), gray, 0),
        "16_bits.tif": (Image.fromarray(flat.astype(np.uint16) * 257), gray, 0),
        "16_bits.pgm": (Image.fromarray(flat.astype(np.int32) * 257), gray, 0),
        "1_bit.png": (Image.fromarray(flat > 99), np.dstack([flat > 99] * 3) * np.uint8(255), 0),
        "1_bit.tif": (Image.fromarray(flat > 99), np.dstack([flat > 99] * 3) * np.uint8(255), 0),
        "cmyk.tif": (image.convert("CMYK"), scene(), 1),
        "cmyk.jpg": (image.convert("CMYK"), scene(), 12),
        **({"ycbcr.tif": (image.convert("YCbCr"), scene(), 3)} if "ycbcr.tif" in ODD else {}),
        "lab.tif": (_lab(image), scene(), 40),
    }
    extra = {"palette_opacity.png": {"transparency": halves}, "palette_clear.gif": {"transparency": 7}}
    extra |= {"opacity.webp": {"lossless": True, "exact": True}, "cmyk.jpg": {"quality": 98}}
    for name, (stored, _, _) in made.items():
        stored.save(folder / name, **extra.get(name, {}))
    return {name: rest for name, (_, *rest) in made.items()}


def _lab(image):
    return ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )


def _formats(folder):
    image, other = Image.fromarray(scene()), Image.new("RGB", (40, 24), (0, 0, 255))
    made = {
        "a.jfif": 8,
        "a.jpe": 8,
        "a.JPG": 8,
        "a.bmp": 0,
        "a.dib": 0,
        "a.ppm": 0,
        "a.tiff": 0,
        "a.jp2": 0,
        "a.mpo": 8,
    }
    for name in made:
        image.save(folder / name, **{"quality": 98} if made[name] else {}, **{"format": "BMP"} if "dib" in name else {})
    moving = {"moving.gif": 40, "moving.webp": 0, "moving.png": 0, "moving.tif": 0}
    for name in moving:
        more = {"save_all": True, "append_images": [other]} | ({"lossless": True} if "webp" in name else {})
        image.save(folder / name, **more)
    return {name: (scene(), deviation) for name, deviation in (made | moving).items()}


def _pngs(folder):
    """PNG files of every color type and depth, without and with a transparent color."""
    made = {}
    for kind, depth in ((0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (4, 8), (4, 16), (6, 8), (6, 16)):
        channels, top = {0: 1, 2: 3, 4: 2, 6: 4}[kind], (1 << depth) - 1
        values = np.random.default_rng(depth).integers(0, top + 1, (24, 40, channels), dtype=np.int64)
        for clear in (False, True) if kind in (0, 2) else (False,):
            name = f"type_{kind}_depth_{depth}{'_clear' if clear else ''}.png"
            (folder / name).write_bytes(png(values, depth, kind, values[0, 0] if clear else None))
            # Pillow cuts 16 bits of color to the upper 8
            eight = values >> 8 if depth == 16 and kind else np.rint(values * (255 / top)).astype(np.int64)
            opacity = eight[..., -1] if kind in (4, 6) else np.full((24, 40), 255)
            colors = eight[..., :-1] if kind in (4, 6) else eight
            if clear:
                same = values == values[0, 0] if depth < 16 or not kind else eight == eight[0, 0]
                opacity = np.where(same.all(-1), 0, 255)
            colors = np.broadcast_to(colors, (24, 40, 3)) if colors.shape[-1] == 1 else colors
            made[name] = (on_white(colors, opacity), 1)
    return made


def png(values, depth, kind, clear=None):
    """A PNG file of values `(H, W, C)`, with a transparent color if wanted."""
    rows = b""
    for row in values.reshape(len(values), -1):
        bits = "".join(f"{value:0{depth}b}" for value in row)
        bits += "0" * (-len(bits) % 8)
        rows += b"\0" + int(bits, 2).to_bytes(len(bits) // 8, "big")
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, kind, 0, 0, 0)
    transparent = b"" if clear is None else png_chunk(b"tRNS", b"".join(struct.pack(">H", v) for v in clear))
    body = png_chunk(b"IHDR", head) + transparent + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def png_chunk(kind, data):
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def make_odd(folder):
    """The files of `BROKEN` and `ODD`."""
    folder.mkdir(parents=True, exist_ok=True)
    _make_broken(folder)
    color = Image.new("RGB", (40, 30), (200, 100, 50))
    other = Image.new("RGB", (40, 30), (0, 0, 255))
    ink = Image.frombytes("CMYK", (40, 30), bytes((0, 128, 192, 55)) * 1200)  # 255 - 200, and shares of 200
    ink.save(folder / "cmyk.jpg", quality=100, subsampling=0)
    deep = Image.fromarray(np.full((30, 40), 77 * 257, dtype=np.uint16))
    for name in ("16_bits.png", "16_bits.tif"):
        deep.save(folder / name)
    for name in ("animated.gif", "animated.webp", "animated.png"):
        color.save(folder / name, save_all=True, append_images=[other], **{"lossless": True} if "webp" in name else {})
    color.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    Image.new("P", (40, 30), 3).save(folder / "transparent_palette.gif", transparency=3)
    Image.new("RGBA", (40, 30), (200, 100, 50, 0)).save(folder / "transparent.png")
    Image.new("LA", (40, 30), (53, 128)).save(folder / "half_transparent_gray.png")
    Image.new("1", (40, 30), 1).save(folder / "1_bit.png")
    Image.new("L", (40, 30), 99).save(folder / "gray.jpg")
    if "ycbcr.tif" in ODD:
        color.convert("YCbCr").save(folder / "ycbcr.tif")
    color.crop((0, 0, 1, 1)).save(folder / "one_pixel.bmp")
    color.save(folder / "upper_case.JPG")
    color.save(folder / "wrong_ending.png", format="JPEG")
    return folder


def _make_broken(folder):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 50, 3), dtype=np.uint8))
    for name in ("truncated.jpg", "truncated.png"):
        noise.save(folder / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])
    (folder / "zero.jpg").touch()
    (folder / "text.jpg").write_text("I am an image, honestly.")
    (folder / "weights.png").write_bytes(bytes(range(256)) * 8)
    (folder / "huge.png").write_bytes(png_header(50_000, 50_000))
    Image.new("L", (1, 200)).save(folder / "narrow.png")
    Image.new("F", (40, 30), 0.5).save(folder / "float.tif")
    Image.new("I", (40, 30), 1 << 20).save(folder / "32_bits.tif")


def png_header(width, height):
    """A file that says it is an image of that size, and ends."""

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", size)
        + png_chunk(b"IDAT", zlib.compress(b""))
        + png_chunk(b"IEND", b"")
    )
