"""`vig-pyg segment train`, `evaluate` and `predict`: semantic segmentation."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.launcher import as_started
from vig_pyg._io.numbers import counted, percent
from vig_pyg._io.text import as_csv, json_text, terminal_text
from vig_pyg.cli._inputs import naming_a_missing_model
from vig_pyg.cli._options import (
    TRAINED,
    add_device,
    add_files,
    add_loading,
    add_own_code,
    check_loading,
    check_outputs,
    device,
    import_own_code,
    in_shell,
    own_words,
    say_broken,
    say_next,
)
from vig_pyg.cli._parser import described, show_help
from vig_pyg.cli._segment_train import make_parser, train_segmenter
from vig_pyg.cli._tables import table
from vig_pyg.cli._training_data import note_on_source

if TYPE_CHECKING:
    from vig_pyg.segmentation.infer import Inference
    from vig_pyg.segmentation.metrics import SegmentationScores

SOURCE = (
    "folder with images/, masks/ and classes.txt; or FOLDER:LIST (Pascal VOC), FOLDER:training (ADE20K), FOLDER:train "
    "(Cityscapes), FILE.json or FILE.json:IMAGES (COCO, panoptic or instances)"
)


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands of `segment` and their options."""
    segment = commands.add_parser(
        "segment",
        **described(
            "semantic segmentation: train, evaluate, predict",
            {
                "vig-pyg segment train --train roads/train --val roads/val --out runs/roads": "train",
                "vig-pyg segment evaluate runs/roads roads/val": "compute the mean IoU",
                "vig-pyg segment predict runs/roads photos": "label the pixels of all images of a folder",
            },
        ),
    )
    show_help(segment)
    parts = segment.add_subparsers(title="commands", metavar="COMMAND")
    train = parts.add_parser("train", help="train a segmentation network on images and masks", raw=True)
    train.set_defaults(run=train_segmenter, make_parser=make_parser)

    _add_evaluate(parts)
    _add_predict(parts)


def _add_evaluate(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = parts.add_parser(
        "evaluate",
        **described(
            "compute the mean IoU of a segmentation network on images and masks",
            {
                "vig-pyg segment evaluate runs/roads roads/val --csv classes.csv": "a folder with images/ and masks/",
                "vig-pyg segment evaluate runs/voc VOC2012:val --flip": "Pascal VOC, averaged with mirror images",
            },
        ),
    )
    evaluate.add_argument("model", metavar="MODEL", help=TRAINED.format(as_started("vig-pyg segment")))
    add_own_code(evaluate)
    evaluate.add_argument("source", metavar="SOURCE", help=SOURCE)
    _add_inference(evaluate)
    add_files(evaluate)
    add_loading(evaluate, batch_size=1)
    evaluate.add_argument("--quiet", action="store_true", help="show no progress")
    evaluate.set_defaults(run=_evaluate)


def _add_predict(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = parts.add_parser(
        "predict",
        **described(
            "label the pixels of images, and write masks and drawings",
            {
                "vig-pyg segment predict runs/roads photos --out labeled": "masks/, drawings/ and classes.txt",
                "vig-pyg segment predict runs/roads big.jpg --window 512 512": "a large image, in windows",
            },
        ),
    )
    predict.add_argument("model", metavar="MODEL", help=TRAINED.format(as_started("vig-pyg segment")))
    add_own_code(predict)
    predict.add_argument("images", metavar="PATH", nargs="+", help="image file, folder of images, or pattern in quotes")
    predict.add_argument(
        "--out",
        type=Path,
        default=Path("segmentation"),
        help="new folder for masks/, drawings/ and classes.txt (default: segmentation)",
    )
    predict.add_argument(
        "--rle", action="store_true", help="also write predictions.json, COCO's format with run lengths"
    )
    _add_inference(predict)
    add_device(predict)
    predict.add_argument("--quiet", action="store_true", help="show no progress")
    predict.set_defaults(run=_predict)


def _add_inference(command: argparse.ArgumentParser) -> None:
    sides = {"type": int, "nargs": 2, "metavar": ("HEIGHT", "WIDTH")}
    text = "size in pixels of sliding windows (default: the whole image passes through the network)"
    command.add_argument("--window", help=text, **sides)  # type: ignore[arg-type]
    text = "vertical and horizontal distance between windows in pixels (default: two thirds of the window)"
    command.add_argument("--stride", help=text, **sides)  # type: ignore[arg-type]
    text = "average over the image and its mirror image, which takes twice the time"
    command.add_argument("--flip", action="store_true", help=text)


def _inference(args: argparse.Namespace) -> Inference:
    from vig_pyg.segmentation.infer import Inference

    window, stride = (None if sides is None else (sides[0], sides[1]) for sides in (args.window, args.stride))
    return Inference(window=window, stride=stride, flip=args.flip)


def _evaluate(args: argparse.Namespace) -> None:
    from vig_pyg._io.output import check_no_input, write_file
    from vig_pyg._io.progress import progress_bar
    from vig_pyg._requirements import TRAIN, require

    require("Evaluating a segmentation network", TRAIN, "train")
    from vig_pyg.segmentation.evaluate import evaluate_segmenter
    from vig_pyg.segmentation.load import load_segmenter
    from vig_pyg.segmentation.metrics import scores_of
    from vig_pyg.segmentation.sources import check_source, open_source

    check_loading(args)
    check_outputs(args, [args.json, args.csv], [args.source, args.source.rpartition(":")[0]])
    with naming_a_missing_model(args.model, "data", expected="a segmentation network"):
        check_source(args.source)
    how, where = _inference(args), device(args)
    import_own_code(args)
    run = load_segmenter(args.model)
    data = open_source(args.source, classes=run.class_names, on_bad="drop")
    check_no_input([args.json, args.csv], data.files)
    with progress_bar(len(data.records), shown=not args.quiet) as bar:
        counts = evaluate_segmenter(
            run,
            data,
            how=how,
            batch_size=args.batch_size,
            num_workers=args.num_workers,
            device=where,
            progress=bar.update,
        )
    scores = scores_of(counts)
    rows = [(i, name, int(counts[i].sum()), scores.ious[i]) for i, name in enumerate(run.classes)]
    _print_scores(scores, rows)
    note_on_source(args.model, args.source)
    shown = [(i, name, pixels, None if math.isnan(iou) else iou) for i, name, pixels, iou in rows]
    if args.json is not None:
        about = {"mIoU": scores.miou, "pixel_accuracy": scores.pixel_accuracy, "mean_accuracy": scores.mean_accuracy}
        classes = [dict(zip(("label", "name", "pixels", "iou"), row, strict=True)) for row in shown]
        content = {"model": args.model, "data": args.source, **about, "classes": classes, "confusion": counts.tolist()}
        write_file(args.json, json_text(content) + "\n", overwrite=args.overwrite)
    if args.csv is not None:
        write_file(args.csv, as_csv(("label", "class", "pixels", "iou"), shown), overwrite=args.overwrite)
    say_next(in_shell("vig-pyg", "segment", "predict", args.model, "IMAGES", *own_words(args)))


def _print_scores(scores: SegmentationScores, rows: list[tuple[int, str, int, float]]) -> None:
    print(table(["class", "pixels", "IoU"], [(name, f"{pixels:,}", percent(iou)) for _, name, pixels, iou in rows]))
    print(
        f"\nmIoU {percent(scores.miou)}   pixel accuracy {percent(scores.pixel_accuracy)}   "
        f"mean accuracy {percent(scores.mean_accuracy)}"
    )


def _predict(args: argparse.Namespace) -> int:
    from vig_pyg._io.output import check_new_folder
    from vig_pyg._io.progress import progress_bar
    from vig_pyg._requirements import require
    from vig_pyg.image_io import find_images
    from vig_pyg.segmentation.load import load_segmenter
    from vig_pyg.segmentation.predict import predict

    if args.rle:
        require("Writing run lengths", ["pycocotools"], "detection")
    check_new_folder(args.out)
    with naming_a_missing_model(args.model, "images", expected="a segmentation network"):
        paths = find_images(args.images)
    how, where = _inference(args), device(args)
    import_own_code(args)
    run = load_segmenter(args.model)
    with progress_bar(len(paths), shown=not args.quiet) as bar:
        found = predict(run, paths, args.out, how=how, rle=args.rle, device=where, progress=bar.update)
    print(f"{counted(found.count, 'images')}, in {terminal_text(args.out)}")
    status = say_broken(found.broken, len(paths))
    say_next(in_shell("vig-pyg", "graph", args.model, paths[0], *own_words(args), "--out", "graph.html"))
    return status
