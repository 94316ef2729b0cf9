"""`vig-pyg predict`: prediction of the classes of images."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vig_pyg._io.numbers import percent
from vig_pyg._io.text import as_csv, json_text, terminal_text
from vig_pyg.cli._inputs import naming_a_missing_model
from vig_pyg.cli._options import (
    add_files,
    add_loading,
    add_model,
    check_files,
    check_loading,
    device,
    in_shell,
    load_model,
    own_words,
    say_broken,
    say_next,
)
from vig_pyg.cli._parser import described
from vig_pyg.cli._tables import padded
from vig_pyg.cli._unlike_images import note_cropped, note_unlike

if TYPE_CHECKING:
    from vig_pyg.classification import Prediction, UnreadableImage


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    predict = commands.add_parser(
        "predict",
        **described(
            "classify images with a trained run or published weights",
            {
                "vig-pyg predict runs/photos new/*.jpg": "use a network that you trained",
                "vig-pyg predict pvig_small photo.jpg --topk 5": "use published weights, which are downloaded once",
                "vig-pyg predict runs/photos new --csv new.csv": "all images of a folder, and a table",
            },
            note="The exit status is 0, 1 if some images could not be read (the others are classified), or 2 on "
            "errors.",
        ),
    )
    add_model(predict)
    add_loading(predict)
    predict.add_argument("images", metavar="PATH", nargs="+", help="image files, folders, or patterns in quotes")
    predict.add_argument(
        "--topk",
        type=int,
        default=3,
        help="number of classes to print for each image, the most probable first (default: 3)",
    )
    add_files(predict)
    predict.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print a line for each image, and write the files."""
    from vig_pyg._io.output import check_no_input, write_file
    from vig_pyg._io.progress import progress_bar
    from vig_pyg.classification import Prediction, UnreadableImage, find_images, predict

    if args.topk < 1:
        raise ValueError(f"--topk must be at least 1, got {args.topk}.")
    check_loading(args)
    check_files(args)
    with naming_a_missing_model(args.model, "images"):
        paths = find_images(args.images)
    check_no_input((args.json, args.csv), paths)
    where = device(args)
    classifier = load_model(args)
    results = predict(
        classifier, paths, topk=args.topk, batch_size=args.batch_size, num_workers=args.num_workers, device=where
    )
    found: list[Prediction | UnreadableImage] = []
    with progress_bar(len(paths), shown=not args.quiet) as bar:
        for one in results:
            found.append(one)
            bar.update(1)
    predictions = [one for one in found if isinstance(one, Prediction)]
    broken = [one for one in found if isinstance(one, UnreadableImage)]
    if args.json is not None:
        write_file(args.json, _json(args.model, predictions, broken), overwrite=args.overwrite)
    if args.csv is not None:
        write_file(args.csv, _csv(predictions, broken), overwrite=args.overwrite)
    for path, one in zip(padded([terminal_text(one.path) for one in predictions]), predictions, strict=True):
        shares = zip(one.names, one.probabilities, strict=True)
        print("   ".join([path, *(f"{terminal_text(name)} {percent(share):>7}" for name, share in shares)]))
    files = [one.path for one in predictions if one.path is not None]
    note_cropped(classifier.preprocessing, files)
    if args.image_size is None:  # otherwise the user has chosen the size
        note_unlike(args.model, classifier.preprocessing, files)
    status = say_broken(broken, len(paths))
    if predictions:
        say_next(in_shell("vig-pyg", "graph", args.model, predictions[0].path, *own_words(args), "--out", "graph.html"))
    return status


def _json(model: str, predictions: list[Prediction], broken: list[UnreadableImage]) -> str:
    content = {
        "model": model,
        "images": [
            {
                "path": str(one.path),
                "classes": [
                    {"index": i, "name": name, "probability": p}
                    for i, name, p in zip(one.classes, one.names, one.probabilities, strict=True)
                ],
            }
            for one in predictions
        ],
        "unreadable": [{"path": str(one.path), "reason": one.reason} for one in broken],
    }
    return json_text(content) + "\n"


def _csv(predictions: list[Prediction], broken: list[UnreadableImage]) -> str:
    rows: list[tuple[object, ...]] = [
        (one.path, rank + 1, i, name, p, "")
        for one in predictions
        for rank, (i, name, p) in enumerate(zip(one.classes, one.names, one.probabilities, strict=True))
    ]
    rows += [(one.path, "", "", "", "", one.reason) for one in broken]
    return as_csv(("path", "rank", "index", "name", "probability", "error"), rows)
