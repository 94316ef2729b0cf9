"""`torch/...`: data sets of torchvision, through timm."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from vig_pyg._requirements import require
from vig_pyg.classification.readers.registry import Collection, Part, PixelImage, ReaderOptions, register_reader
from vig_pyg.image_io import StoredImage

#: Small data sets, which are downloaded if they are missing, and large ones, which must be there.
_SMALL = ("cifar10", "cifar100", "mnist", "fashion_mnist", "kmnist", "qmnist")
_LARGE = ("imagenet", "places365", "inaturalist")


@register_reader("torch")
def read_torch(name: str, options: ReaderOptions) -> Collection:
    """Read one of the torchvision data sets that timm supports; the test images are used for validation.

    Image files are read by `read_image` like all others, not by torchvision.

    Args:
        name: `cifar10`, `cifar100`, `mnist`, `fashion_mnist`, `kmnist`, `qmnist`, `imagenet`, `places365` or
            `inaturalist`, in any letter case.
        options: `root` is the folder of the files. Missing files are downloaded, except the three large data sets.

    Raises:
        ValueError: If the name is unknown.
        FileNotFoundError: If files are missing and may not be downloaded.
        ConnectionError: If they cannot be downloaded.
        ImportError: If timm is not installed.

    Example:
        >>> read_torch("mnist", ReaderOptions(root="data")).class_names[0]  # doctest: +SKIP
        '0 - zero'
    """
    require("Data named torch/", ["timm", "filelock"], "timm")
    known = name.lower()
    if known in ("image_folder", "folder"):
        raise ValueError("torch/image_folder is a folder of images: pass the folder itself.")
    if known not in (*_SMALL, *_LARGE):
        raise ValueError(f"torch/{name} is not known: choose one of {', '.join((*_SMALL, *_LARGE))}.")
    unused = [key for key in ("input_key", "target_key") if getattr(options, key) is not None]
    if unused:
        raise ValueError(f"torch/{known} has one image and one label for each sample: leave out {', '.join(unused)}.")
    val = load_torch(known, "validation", options.root, download=options.download)
    classes = getattr(val, "classes", None) or val.all_categories
    # ImageNet classes have several names
    names = [one if isinstance(one, str) else ", ".join(one) for one in classes]
    parts = {"train": partial(_part, known, "train", options), "val": partial(_samples, known, val)}
    return Collection(known, names, parts)


def _part(name: str, split: str, options: ReaderOptions) -> Part:
    return _samples(name, load_torch(name, split, options.root, download=options.download))


def load_torch(name: str, split: str, root: str | Path, *, download: bool = True) -> Any:
    """Load a data set of torchvision through timm; if there are several processes, one of them downloads missing files.

    Raises:
        FileNotFoundError: If files are missing, and may not be downloaded or belong to a large data set.
        ConnectionError: If they cannot be downloaded.
    """
    from filelock import FileLock
    from timm.data.dataset_factory import create_dataset

    def load(fetch: bool) -> Any:
        return create_dataset(f"torch/{name}", root=str(root), split=split, download=fetch)

    missing = f"torch/{name} is not in {root}"
    try:
        return load(False)
    except (RuntimeError, OSError) as error:
        if name in _LARGE:
            raise FileNotFoundError(f"{missing} ({error}): put its files there, or pass another --root.") from error
        if not download:
            raise FileNotFoundError(f"{missing}: to download it, pass --data torch/{name} too.") from error
    place = hashlib.sha256(f"{Path(root).resolve()} {name}".encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir()) / f"vig_pyg_{place}.lock"):
        with suppress(RuntimeError, OSError):
            return load(False)  # another process has downloaded the files in the meantime
        try:
            return load(True)
        except (RuntimeError, OSError, HTTPException) as error:
            raise ConnectionError(
                f"{missing}, and cannot be downloaded ({error or type(error).__name__}): check the network, or "
                "download it on another machine and copy its folder there, or pass another --root."
            ) from error


def _samples(name: str, data: Any) -> Part:
    """Return the images of torchvision's data set as files, or as arrays in memory."""
    if name in _SMALL:
        pixels = np.asarray(data.data)
        labels = np.asarray(data.targets)
        labels = labels[:, 0] if labels.ndim == 2 else labels  # QMNIST: class, writer and others
        return Part([PixelImage(one, f"torch/{name}: {i}") for i, one in enumerate(pixels)], labels.tolist())
    pairs = (
        [(os.path.join(data.root, data.all_categories[label], file), label) for label, file in data.index]
        if name == "inaturalist"
        else getattr(data, "samples", None) or data.imgs
    )
    files: list[str | StoredImage] = [str(path) for path, _ in pairs]
    return Part(files, [int(label) for _, label in pairs])
