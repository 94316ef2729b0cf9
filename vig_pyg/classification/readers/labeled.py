"""Conversion of labels to class indices: those of the data set for training, and those of a model for evaluation."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vig_pyg._io.text import terminal_text
from vig_pyg.classification.labels import LabeledImages, class_numbers
from vig_pyg.classification.readers.registry import Collection, Part, ReaderOptions, open_collection
from vig_pyg.image_io._class_folders import composed, some

_log = logging.getLogger(__name__)

#: Smallest share of equal class names for which the classes of data and model are considered the same, in the same
#: order.
_AGREEING = 0.9


def class_names_of(collection: Collection, parts: Sequence[Part]) -> tuple[list[str], dict[int | str, int]]:
    """Return the class names of a data set, and the class index of each label.

    Args:
        parts: Its parts. If the data contains no list of classes, the labels of the first part are the classes.

    Raises:
        ValueError: If a label of another part does not occur in the first one.

    Example:
        >>> class_names_of(Collection("pets", None, {}), [Part(["1.png", "2.png"], [7, 3])])
        (['3', '7'], {3: 0, 7: 1})
    """
    if collection.class_names is not None:
        count = len(collection.class_names)
        wrong = sorted({label for part in parts for label in part.labels if label not in range(count)}, key=str)
        if wrong:
            raise ValueError(f"{collection.title} has labels outside of its {count} classes: {some(wrong)}.")
        return collection.class_names, {i: i for i in range(count)}
    kinds = {type(label) for part in parts for label in part.labels[:1]}
    if len(kinds) > 1:
        raise ValueError(f"{collection.title} has numbers as labels in one part, and names in another.")
    labels: list[int | str] = sorted(set(parts[0].labels))
    untrained = sorted({label for part in parts for label in part.labels} - set(labels))
    if untrained:
        raise ValueError(f"{collection.title} has no training images of {len(untrained)} classes: {some(untrained)}.")
    return [str(label) for label in labels], {label: i for i, label in enumerate(labels)}


def find_labeled_in(
    data: str, class_names: list[str], options: ReaderOptions, *, split: str | None = None
) -> LabeledImages:
    """Find the images of a data set with a prefix, and their classes among the classes of a model.

    Args:
        data: Prefix and name, such as `"wds/shards"`.
        class_names: Names of the model's classes.
        options: How the data is read.
        split: Name of the part; by default that for validation, or all images of data without parts.

    Raises:
        ValueError: If the data has no such part, no images, or a class that the model does not have.
        OSError: If the data does not exist.

    Example:
        >>> from vig_pyg.classification.readers import READERS, register_reader
        >>> dogs = Collection("dogs", ["dog"], {"val": lambda: Part(["1.png"], [0])})
        >>> _ = register_reader("dogs")(lambda name, options: dogs)
        >>> find_labeled_in("dogs/all", ["cat", "dog"], ReaderOptions()).labels
        [1]
        >>> READERS.remove("dogs")  # this was an example
    """
    collection = open_collection(data, options)
    name = "" if split is None and "" in collection.parts else collection.choose("val", split)
    if name is None:
        raise ValueError(f"{data} has no part for validation; it has {some(map(repr, collection.parts))}: name one.")
    part = collection.parts[name]()
    if not part.labels:
        raise ValueError(f"{data} has no labeled images" + (f" in {name}." if name else "."))
    numbers = _numbers(data, collection, part, class_names)
    return LabeledImages(list(part.images), [numbers[label] for label in part.labels], left_out=part.left_out)


def _numbers(data: str, collection: Collection, part: Part, class_names: list[str]) -> dict[int | str, int]:
    """Return the class index of the model for each label."""
    names, index = class_names_of(collection, [part])
    if collection.class_names is not None and _are_the_same(names, class_names):
        return index
    there = set(part.labels)
    present = {label: composed(names[i]) for label, i in index.items() if label in there}
    known = set(class_names)
    if collection.class_names is None and not known.issuperset(present.values()):
        numbers = [label for label in present if isinstance(label, int)]
        if numbers and max(numbers) < len(class_names) and not any(name.isdecimal() for name in class_names):
            _log.warning(
                "%s has no class names: its labels are used as indices of the model's classes, so 0 is %s.",
                terminal_text(data), terminal_text(class_names[0]),
            )  # fmt: skip
            return {label: label for label in numbers}
    found = class_numbers(list(present.values()), class_names, what="classes of the data")
    return {label: found[name] for label, name in present.items()}


def _are_the_same(names: list[str], class_names: list[str]) -> bool:
    """True if two lists name the same classes in the same order; ImageNet names may have synonyms."""

    def first(name: str) -> str:
        return name.partition(",")[0].strip().casefold().replace("_", " ")

    agree = sum(first(one) == first(two) for one, two in zip(names, class_names, strict=False))
    exact = names == class_names
    return exact or (len(names) == len(class_names) >= 100 and agree >= _AGREEING * len(names))
