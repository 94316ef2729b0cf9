"""The data of `vig-pyg evaluate`: folders, data with a prefix, and the names and tables of `vig-pyg train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.launcher import as_started
from vig_pyg.cli._own_code import import_own
from vig_pyg.cli._training_data import is_trained_table, note_on_folder, note_on_part, note_on_table

if TYPE_CHECKING:
    from vig_pyg.classification import ImageClassifier, LabeledImages


def add_data(command: argparse.ArgumentParser) -> None:
    """Add the argument of the data, and its options."""
    command.add_argument(
        "data",
        metavar="DATA",
        help="folder with one folder of images for each class (or for some classes), whose name is the class name or "
        f"its WordNet ID; or as for {as_started('vig-pyg train')}: digits, cifar10, cifar100, a CSV file or an import "
        "path such as my_data:Stripes; wds/ and a folder of shards, hfds/ and a folder or a name on the Hugging Face "
        "hub, or torch/ and a data set of torchvision",
    )
    group = command.add_argument_group("data that is not a folder")
    text = (
        "part of the data to evaluate (default: the validation part; in a CSV file without one, the part test; in a "
        "CSV file without the column split, all images)"
    )
    group.add_argument("--split", metavar="NAME", help=text)
    group.add_argument("--root", metavar="FOLDER", help="folder of torchvision's files (default: data)")
    text = "file extension or column of the images in wds/ or hfds/ data, if there are several"
    group.add_argument("--input-key", metavar="NAME", help=text)
    text = "file extension, JSON key or column of the labels in wds/ or hfds/ data"
    group.add_argument("--target-key", metavar="NAME", help=text)


def check_data(args: argparse.Namespace) -> None:
    """Raise an error, before the model is loaded, for options that the data does not have, and for missing data.

    An import path is imported, because the user wrote it.
    """
    from vig_pyg._requirements import TRAIN, require
    from vig_pyg.classification.labels import check_labeled
    from vig_pyg.classification.named import is_table, of_readers_only, source_names
    from vig_pyg.classification.readers import reader_prefix

    if reader_prefix(args.data):
        return
    named = _is_named(args.data)
    options = ("input_key", "target_key") if named else ("split", "root", "input_key", "target_key")
    for key in options:
        if getattr(args, key) is not None:
            flag = f"--{key.replace('_', '-')}"
            raise ValueError(of_readers_only(flag, getattr(args, key), args.data))
    if not named:
        check_labeled(args.data, names=[] if Path(args.data).is_dir() else source_names())
    elif not is_table(args.data):
        require(f"Data named {args.data}", TRAIN, "train")
        import_own({"data": args.data})


def labeled(args: argparse.Namespace, classifier: ImageClassifier) -> LabeledImages:
    """Return the images that the options name."""
    from vig_pyg.classification import find_labeled
    from vig_pyg.classification.named import find_labeled_of, is_table
    from vig_pyg.classification.readers import ReaderOptions, find_labeled_in, reader_prefix

    names = classifier.class_names
    if reader_prefix(args.data):
        options = ReaderOptions(
            root=args.root or ReaderOptions.root,
            input_key=args.input_key,
            target_key=args.target_key,
            splits=() if args.split is None else (args.split,),
            on_bad="drop",
        )
        return find_labeled_in(args.data, names, options, split=args.split)
    if _is_named(args.data):
        channels = classifier.preprocessing.in_channels
        whole = is_table(args.data) and not is_trained_table(args.model, args.data)
        return find_labeled_of(args.data, names, in_channels=channels, split=args.split, root=args.root, whole=whole)
    return find_labeled(args.data, names)


def note_on_data(args: argparse.Namespace, data: LabeledImages) -> None:
    """Print a note if the model was trained on these images, or if they are only a part of the table."""
    from vig_pyg.classification.named import is_table
    from vig_pyg.classification.readers import reader_prefix

    if not reader_prefix(args.data) and _is_named(args.data) and is_table(args.data):
        note_on_table(args.model, args.data, args.split, data.paths)
    elif reader_prefix(args.data) or _is_named(args.data):
        note_on_part(args.model, args.data, args.split, args.root)
    else:
        note_on_folder(args.model, data.paths)


def _is_named(data: str) -> bool:
    """True for registered data, an import path and a table; `./digits` is a folder of this name."""
    from vig_pyg._registry import is_import_path
    from vig_pyg.classification.named import BUILT_IN, is_table, source_names

    if data in BUILT_IN or Path(data).is_dir():
        return data in BUILT_IN  # no other name is looked up for a folder, because this imports much
    return is_table(data) or is_import_path(data) or (not Path(data).exists() and data in source_names())
