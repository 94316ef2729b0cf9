"""`vig-pyg detect`: train, evaluate and use object detectors."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.launcher import as_started
from vig_pyg._io.numbers import counted
from vig_pyg._io.signals import exit_status
from vig_pyg._io.text import as_csv, json_text, terminal_text
from vig_pyg.cli._detect_train import make_parser, train_detector
from vig_pyg.cli._inputs import naming_a_missing_model
from vig_pyg.cli._objects import objects_csv, objects_json
from vig_pyg.cli._options import (
    TRAINED,
    add_files,
    add_loading,
    add_own_code,
    check_loading,
    check_outputs,
    check_share,
    device,
    import_own_code,
    in_shell,
    own_words,
    say_broken,
    say_next,
)
from vig_pyg.cli._parser import described, show_help
from vig_pyg.cli._tables import file_list, scores_table
from vig_pyg.cli._training_data import note_on_source

if TYPE_CHECKING:
    pass

SOURCE = "FILE.json or FILE.json:IMAGES (COCO's format), or FOLDER:LIST (Pascal VOC)"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands of `detect` and their options."""
    detect = commands.add_parser(
        "detect",
        **described(
            "object detection: train, evaluate, predict",
            {
                "vig-pyg detect train --train a.json:images --val b.json:images --out runs/mine": "train",
                "vig-pyg detect evaluate runs/mine b.json:images": "compute the average precision",
                "vig-pyg detect predict runs/mine photos": "draw the objects on all images of a folder",
            },
        ),
    )
    show_help(detect)
    parts = detect.add_subparsers(title="commands", metavar="COMMAND")
    train = parts.add_parser("train", help="train a detector on annotated images", raw=True)
    train.set_defaults(run=train_detector, make_parser=make_parser)

    _add_evaluate(parts)
    _add_predict(parts)


def _add_evaluate(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    evaluate = parts.add_parser(
        "evaluate",
        **described(
            "compute the average precision of a detector on annotated images",
            {
                "vig-pyg detect evaluate runs/mine val.json:images": "COCO's format",
                "vig-pyg detect evaluate runs/voc VOC2012:val --json scores.json": "Pascal VOC, and a file of scores",
            },
        ),
    )
    evaluate.add_argument("model", metavar="MODEL", help=TRAINED.format(as_started("vig-pyg detect")))
    add_own_code(evaluate)
    evaluate.add_argument("source", metavar="SOURCE", help=SOURCE)
    evaluate.add_argument("--out", type=Path, help="file to write the detections to, in COCO's format")
    add_files(evaluate)
    evaluate.add_argument(
        "--score", type=float, default=0.0, help="lowest score of a detection that counts, from 0 to 1 (default: 0)"
    )
    _add_flip(evaluate)
    add_loading(evaluate, batch_size=2)
    evaluate.add_argument("--quiet", action="store_true", help="show no progress")
    evaluate.set_defaults(run=_evaluate)


def _add_predict(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    predict = parts.add_parser(
        "predict",
        **described(
            "find objects in images, draw them, and write them as COCO JSON",
            {
                "vig-pyg detect predict runs/mine photos --out found": "drawings and predictions.json in a new folder",
                "vig-pyg detect predict runs/mine photo.jpg --score 0.3": "show less certain objects too",
                "vig-pyg detect predict runs/mine photos --csv objects.csv": "a table without drawings",
            },
        ),
    )
    predict.add_argument("model", metavar="MODEL", help=TRAINED.format(as_started("vig-pyg detect")))
    add_own_code(predict)
    predict.add_argument("images", metavar="PATH", nargs="+", help="image file, folder of images, or pattern in quotes")
    predict.add_argument(
        "--out",
        type=Path,
        help="new folder for the drawings and predictions.json (default: detections, or none with --json or --csv)",
    )
    add_files(predict)
    predict.add_argument(
        "--score",
        "--threshold",
        dest="threshold",
        type=float,
        default=0.5,
        help="lowest score of an object, from 0 to 1 (default: 0.5)",
    )
    _add_flip(predict)
    add_loading(predict, batch_size=1)
    predict.add_argument("--quiet", action="store_true", help="show no progress")
    predict.set_defaults(run=_predict)


def _add_flip(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--flip", action="store_true", help="look for objects in the mirror image too, which takes twice the time"
    )


def _evaluate(args: argparse.Namespace) -> None:
    from vig_pyg._requirements import require_detection

    require_detection("Evaluating a detector", curves=False)
    from vig_pyg._io.output import check_no_input, write_file
    from vig_pyg.detection.data import check_source, open_source
    from vig_pyg.detection.evaluate import evaluate_detector
    from vig_pyg.detection.load import load_detector

    outputs = [args.out, args.json, args.csv]
    check_loading(args)
    check_share("--score", args.score)
    check_outputs(args, outputs, [args.source, args.source.rpartition(":")[0]])
    with naming_a_missing_model(args.model, "data", expected="a detector"):
        check_source(args.source)
    where = device(args)
    import_own_code(args)
    detector = load_detector(args.model)
    data = open_source(args.source, classes=detector.class_names)
    check_no_input(outputs, data.files)
    evaluator = evaluate_detector(
        detector,
        data,
        batch_size=args.batch_size,
        num_workers=args.num_workers,
        device=where,
        score=args.score,
        flip=args.flip,
        progress=not args.quiet,
    )
    scores = evaluator.compute()
    print(scores_table(scores))
    note_on_source(args.model, args.source)
    known = {name: share if share >= 0 else None for name, share in scores.items()}
    results = json.dumps(evaluator.results) + "\n"
    how = {"model": args.model, "source": args.source, "score": args.score, "flip": args.flip}
    summary = json_text({**how, "scores": known}) + "\n"
    table = as_csv(("name", "value"), [(name, "" if share is None else share) for name, share in known.items()])
    for path, content in ((args.out, results), (args.json, summary), (args.csv, table)):
        if path is not None:
            write_file(path, content, overwrite=args.overwrite)
            print(file_list([path]))
    say_next(in_shell("vig-pyg", "detect", "predict", args.model, "IMAGES", *own_words(args)))


def _predict(args: argparse.Namespace) -> int:
    from vig_pyg._io.output import check_new_folder, write_file
    from vig_pyg._io.progress import progress_bar
    from vig_pyg.detection.load import load_detector
    from vig_pyg.detection.predict import PREDICTIONS, predict
    from vig_pyg.image_io import find_images

    check_loading(args)
    check_share("--score", args.threshold)
    out = Path("detections") if args.out is None and args.json is None and args.csv is None else args.out
    if out is not None:
        check_new_folder(out)
    with naming_a_missing_model(args.model, "images", expected="a detector"):
        paths = find_images(args.images)
    check_outputs(args, [args.json, args.csv], [*paths])
    where = device(args)
    import_own_code(args)
    run = load_detector(args.model)
    options = {"batch_size": args.batch_size, "num_workers": args.num_workers, "flip": args.flip, "device": where}
    try:
        with progress_bar(len(paths), shown=not args.quiet) as bar:
            found = predict(run, paths, out, threshold=args.threshold, progress=bar.update, **options)
    except KeyboardInterrupt as stop:
        if out is None or not (out / PREDICTIONS).exists():  # this command has created the folder
            raise  # nothing was written
        drawn = len(list(out.glob("*.png")))
        words = f"{PREDICTIONS}, which is complete, and {drawn} of {len(paths)} drawings"
        print(f"\nvig-pyg: stopped; {terminal_text(out)} has {words}", file=sys.stderr)
        return exit_status(stop)
    if args.json is not None:
        write_file(args.json, objects_json(args.model, run, found), overwrite=args.overwrite)
    if args.csv is not None:
        write_file(args.csv, objects_csv(run, found), overwrite=args.overwrite)
    counts = f"{counted(len(found.annotations), 'objects')} in {counted(len(paths) - len(found.broken), 'images')}"
    written = [terminal_text(path) for path in (out, args.json, args.csv) if path is not None]
    print(f"{counts}, in {', '.join(written)}")
    status = say_broken(found.broken, len(paths))
    if not found.annotations and args.threshold > 0:
        lower = f"{args.threshold / 10:.2g}"
        print(f"vig-pyg: no object has a score of at least {args.threshold:g}: try --score {lower}", file=sys.stderr)
    say_next(in_shell("vig-pyg", "graph", args.model, paths[0], *own_words(args), "--out", "graph.html"))
    return status
