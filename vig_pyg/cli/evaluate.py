"""`vig-pyg evaluate`: computation of the accuracy on labeled images."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.numbers import counted, per_second, percent
from vig_pyg._io.text import as_csv, json_text, terminal_text
from vig_pyg.cli._inputs import naming_a_missing_model
from vig_pyg.cli._labeled_data import add_data, check_data, labeled, note_on_data
from vig_pyg.cli._options import (
    SOME_BROKEN,
    add_files,
    add_loading,
    add_model,
    check_files,
    check_loading,
    device,
    in_shell,
    load_model,
    note_on_built_in,
    own_words,
    say_broken,
    say_next,
)
from vig_pyg.cli._parser import described
from vig_pyg.cli._tables import table

if TYPE_CHECKING:
    from vig_pyg.classification import Evaluation, LabeledImages
    from vig_pyg.classification.evaluation import ClassResult


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    evaluate = commands.add_parser(
        "evaluate",
        **described(
            "compute the accuracy of a trained run or published weights on labeled images",
            {
                "vig-pyg evaluate runs/digits digits": "the validation part of the built-in digits",
                "vig-pyg evaluate runs/photos photos/val": "a folder with one folder of images for each class",
                "vig-pyg evaluate pvig_small imagenet/val --csv classes.csv": "published weights, and a table",
            },
            note="The exit status is 0, 1 if some images could not be read (they are not counted), or 2 on errors.",
        ),
    )
    add_model(evaluate)
    add_loading(evaluate)
    add_data(evaluate)
    add_files(evaluate)
    evaluate.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the accuracies, and write the files."""
    from vig_pyg._io.output import check_no_input, write_file
    from vig_pyg._io.progress import progress_bar
    from vig_pyg.classification import evaluate

    check_loading(args)
    check_files(args)
    with naming_a_missing_model(args.model, "data"):
        check_data(args)
    where = device(args)
    classifier = load_model(args)
    data = labeled(args, classifier)
    note_on_built_in(args.data)
    check_no_input((args.json, args.csv), _files(data))
    with progress_bar(len(data.paths), shown=not args.quiet) as bar:
        result = evaluate(
            classifier,
            data,
            batch_size=args.batch_size,
            num_workers=args.num_workers,
            device=where,
            progress=bar.update,
        )
    size = classifier.preprocessing.image_size
    rows = [tuple(asdict(row).values()) for row in result.per_class]
    if args.json is not None:
        content = {"model": args.model, "data": str(args.data), "image_size": size, **asdict(result)}
        text = json_text(content) + "\n"
        write_file(args.json, text, overwrite=args.overwrite)
    if args.csv is not None:
        text = as_csv(("index", "name", "images", "top1", "top5"), rows)
        write_file(args.csv, text, overwrite=args.overwrite)
    _print(result, len(classifier.class_names), f"{args.model} at {size} x {size} pixels on {where}")
    note_on_data(args, data)
    status = say_broken(result.broken, len(data.paths))
    say_next(in_shell("vig-pyg", "predict", args.model, "IMAGES", *own_words(args)))
    return SOME_BROKEN if data.left_out else status


def _files(data: LabeledImages) -> set[str | Path]:
    """Return the files that are read."""
    from vig_pyg.image_io import StoredImage

    sources = (source.file if isinstance(source, StoredImage) else source for source in data.paths)
    return {source for source in sources if source is not None}


def _print(result: Evaluation, classes: int, what: str) -> None:
    rows = [(row.name, f"{row.images:,}", *_percents(row).values()) for row in result.per_class]
    print(table(["class", "images", *_percents(result)], rows))
    present = len(result.per_class)
    among = f"{present} of {classes} classes occur, but any may be predicted" if present < classes else "all classes"
    print(f"\n{terminal_text(what)}: {counted(result.images, 'images')}, {among}")
    print("   ".join(f"{top} {share}" for top, share in _percents(result).items()))
    alone = per_second(result.model_images_per_second)
    print(f"{per_second(result.images_per_second)} with reading, {alone} in the model alone")


def _percents(result: Evaluation | ClassResult) -> dict[str, str]:
    """Return the shares as text; with at most five classes, there is only one."""
    shares = {"top-1": result.top1, "top-5": result.top5}
    return {name: percent(share / 100) for name, share in shares.items() if share is not None}
