"""`hfds/...`: data sets of Hugging Face's library `datasets`, from a folder or from the hub."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from vig_pyg._io.suggest import did_you_mean
from vig_pyg._requirements import missing_message, require
from vig_pyg.classification.readers.registry import Collection, Faults, Part, ReaderOptions, register_reader
from vig_pyg.image_io import StoredImage, UnreadableImageError

#: Files by which a folder of `save_to_disk` is recognized, with several parts and with one part.
_SAVED = ("dataset_dict.json", "state.json")
#: Names of label columns in order of preference, if no column has the type ClassLabel.
_LABELS = ("label", "labels", "class")


class RowImage(StoredImage):
    """An image in a row of a table.

    Args:
        table: The table (`datasets.Dataset`), with images that are not decoded.

    Example:
        >>> RowImage([{"image": {"bytes": b"pixels"}}], "image", 0, "pets").content()
        b'pixels'
    """

    __slots__ = ("column", "name", "row", "table")

    def __init__(self, table: Any, column: str, row: int, name: str) -> None:
        self.table, self.column, self.row, self.name = table, column, row, name

    def content(self) -> bytes | str:
        found = self.table[self.row][self.column] or {}
        content: bytes | str | None = found.get("path") if found.get("bytes") is None else found["bytes"]
        if content is None or content == "":
            raise UnreadableImageError("the row has no image")
        return content

    def __str__(self) -> str:
        return f"{self.name}, row {self.row}"


@register_reader("hfds")
def read_hugging_face(name: str, options: ReaderOptions) -> Collection:
    """Read a data set by Hugging Face's library `datasets`; rows are read when they are needed, in any order.

    Args:
        name: A folder of Parquet files or images, a folder of `save_to_disk`, or a name on the hub such as
            `"uoft-cs/cifar10"`, which is downloaded to the library's cache; `"owner/name/configuration"` if it has
            several configurations.
        options: `input_key` and `target_key` are names of columns, and are needed if several columns contain images or
            labels.

    Raises:
        ImportError: If `datasets` is not installed, or is older than 4.0, which would execute code of data sets.
        FileNotFoundError: If there is no such folder or data set, or it may not be downloaded.
        ValueError: If it has no columns of images and labels.

    Example:
        >>> read_hugging_face("uoft-cs/cifar10", ReaderOptions()).class_names[:2]  # doctest: +SKIP
        ['airplane', 'automobile']
    """
    require("Data named hfds/", ["datasets"], "hfds")
    tables = _load(name, options)
    features = next(iter(tables.values())).features
    image, label = _columns(name, features, options)
    names = getattr(features[label], "names", None)
    reading = {
        part: partial(_read, f"{name} {part}".strip(), table, image, label, options.on_bad)
        for part, table in tables.items()
    }
    title = Path(name).resolve().name if Path(name).exists() else name.rpartition("/")[2]
    return Collection(title, list(names) if names else None, reading)


def _load(name: str, options: ReaderOptions) -> Mapping[str, Any]:
    """Return the tables by the names of their parts."""
    import datasets

    if int(datasets.__version__.partition(".")[0]) < 4:
        raise ImportError(
            missing_message(
                f"Data named hfds/ needs datasets 4.0 or later, because {datasets.__version__} executes code of data "
                "sets",
                "hfds",
            )
        )
    path = Path(name)
    if any((path / file).is_file() for file in _SAVED):
        found = datasets.load_from_disk(str(path.resolve()))
        return found if isinstance(found, Mapping) else {"": found}
    if path.is_file():
        if path.suffix.lower() != ".parquet":
            raise ValueError(f"{path} is a file: expected a folder, a Parquet file, or a name on the hub.")
        return {"": datasets.load_dataset("parquet", data_files=str(path.resolve()), split="train")}
    if not path.is_dir() and (path.is_absolute() or name.startswith((".", "~"))):
        raise FileNotFoundError(f"There is no folder {path}.{did_you_mean(path)}")
    if not path.is_dir() and not options.download:
        raise FileNotFoundError(f"There is no folder {path}: to use the data of the hub, pass --data hfds/{name} too.")
    # on the hub, a third part is the name of one of several configurations
    where = (str(path.resolve()),) if path.is_dir() else ("/".join(path.parts[:2]), *path.parts[2:3])
    found = datasets.load_dataset(*where)
    sliced = [split for split in options.splits if split not in found and "[" in split]
    return {**found, **{split: datasets.load_dataset(*where, split=split) for split in sliced}}


def _columns(name: str, features: Mapping[str, Any], options: ReaderOptions) -> tuple[str, str]:
    """Return the names of the columns of images and of labels."""
    import datasets

    images = [key for key, kind in features.items() if isinstance(kind, datasets.Image)]
    classes = [key for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)]
    labels = classes or [key for key in _LABELS if isinstance(features.get(key), datasets.Value)][:1]
    chosen = []
    for what, found, key, flag in (
        ("images", images, options.input_key, "input_key (--input-key)"),
        ("labels", labels, options.target_key, "target_key (--target-key)"),
    ):
        if key is not None and (key not in features or (what == "images" and key not in images)):
            raise ValueError(f"{name} has no column of {what} {key!r}; its columns are {', '.join(features)}.")
        if key is None and len(found) != 1:
            several = f"several columns of {what} ({', '.join(found)})" if found else f"no column of {what}"
            raise ValueError(f"{name} has {several}: name one with {flag}. Its columns are {', '.join(features)}.")
        chosen.append(found[0] if key is None else key)
    return chosen[0], chosen[1]


def _read(name: str, table: Any, image: str, label: str, on_bad: str) -> Part:
    import datasets

    faults = Faults(on_bad, name)
    pixels = table.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    given = list(table.select_columns([label])[label])
    images: list[str | StoredImage] = []
    labels: list[Any] = []
    for row, value in enumerate(given):
        if value is None or (isinstance(value, int) and value < 0):  # -1 marks an image without a label
            continue
        if isinstance(value, bool) or not isinstance(value, int | str):
            faults.add(f"{name}, row {row} has a label that is neither a number nor a name ({value!r:.40})")
            continue
        images.append(RowImage(pixels, image, row, name))
        labels.append(value)
    faults.end(len(images))
    return Part(images, labels, faults.count)
