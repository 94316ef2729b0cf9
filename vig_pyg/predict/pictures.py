"""Finding and reading picture files, whatever state they are in."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

#: Largest picture that is decoded: half a gigabyte in memory. PIL itself refuses twice its `MAX_IMAGE_PIXELS`.
MAX_PIXELS = 178_956_970
#: Longest side over the shortest: beyond it the resized picture would be larger than memory.
MAX_RATIO = 100


class BrokenPictureError(ValueError):
    """A picture that cannot be read. The message is the reason, without the name of the file."""


@cache
def extensions() -> frozenset[str]:
    """Endings of picture files that PIL reads."""
    Image.init()
    return frozenset(end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN) - {".pdf"}


def find_pictures(sources: Iterable[str | Path]) -> list[Path]:
    """Picture files of files, folders and patterns, each once, in order.

    Args:
        sources: Files, whatever their ending; folders, of which all pictures by their ending are taken, those of
            folders inside too; or patterns such as `"photos/**/*.jpg"`.

    Raises:
        FileNotFoundError: If there is no such file or folder, or nothing fits a pattern.
        ValueError: If a folder has no pictures.
    """
    found: dict[Path, None] = {}
    for source in map(str, sources):
        path = Path(source)
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in extensions() and p.is_file())
            if not inside:
                raise ValueError(f"The folder {path} has no pictures.")
            found |= dict.fromkeys(inside)
        elif path.is_file():
            found[path] = None
        else:
            inside = sorted(Path(name) for name in glob.glob(source, recursive=True) if Path(name).is_file())
            if not inside:
                raise FileNotFoundError(f"There is no picture at {source}.")
            found |= dict.fromkeys(inside)
    return list(found)


def read_picture(path: str | Path) -> Image.Image:
    """A picture as people see it, 8 bits a channel, in mode `L` or `RGB`.

    The orientation in its EXIF data is applied. Of an animation the first frame is taken. 16 bits become 8. Where it
    is transparent it lies on white. CMYK is converted without colour profiles.

    Raises:
        BrokenPictureError: If the file is empty, cut short, no picture, or too large, with the reason.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no picture at {path}.")
    if path.stat().st_size == 0:
        raise BrokenPictureError("the file is empty")
    try:
        # about sizes that are checked here, and about damage that does not hinder
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            _check_size(*image.size)
            image.load()
            return _flat(ImageOps.exif_transpose(image))
    except BrokenPictureError:
        raise
    except UnidentifiedImageError as error:
        raise BrokenPictureError("no picture, or of a kind that PIL cannot read") from error
    except Image.DecompressionBombError as error:
        raise BrokenPictureError(f"larger than {MAX_PIXELS} pixels") from error
    except OSError as error:
        if error.errno is None:  # PIL's own; the system's have numbers
            raise BrokenPictureError(f"damaged or cut short ({error})") from error
        raise BrokenPictureError(f"it cannot be opened ({error.strerror})") from error
    except Exception as error:  # PIL's decoders raise nearly anything at damaged data
        raise BrokenPictureError(f"damaged or cut short ({error})") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BrokenPictureError(f"{width} x {height} is larger than {MAX_PIXELS} pixels")
    if max(width, height) > MAX_RATIO * min(width, height):
        raise BrokenPictureError(f"{width} x {height} pixels are too narrow: sides may differ {MAX_RATIO} times")


def _flat(image: Image.Image) -> Image.Image:
    """8 bits a channel, grey or colour, nothing transparent."""
    if image.mode.startswith("I"):  # 16 bits, in one of four ways; PIL would cut at 255
        values = np.asarray(image).astype(np.float64)
        if values.min() < 0 or values.max() > 65535:
            raise BrokenPictureError("its integers are not of 16 bits")
        return Image.fromarray((values / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise BrokenPictureError("it holds floating-point numbers, whose range is not known")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")
    return image.convert("L" if image.mode in ("L", "1") else "RGB")
