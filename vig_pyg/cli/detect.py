"""`vig-pyg detect`: train, evaluate and use object detectors."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.numbers import counted
from vig_pyg._io.signals import exit_status
from vig_pyg._io.text import json_text, terminal_text
from vig_pyg.cli._objects import objects_csv, objects_json
from vig_pyg.cli._options import (
    MODEL,
    add_files,
    add_loading,
    add_own_code,
    as_csv,
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
from vig_pyg.cli._own_code import import_own
from vig_pyg.cli._parser import show_help
from vig_pyg.cli._tables import file_list, scores_table
from vig_pyg.cli._train_flags import FREE, add_run_flags, network_flags, read_flags, stopped

if TYPE_CHECKING:
    from vig_pyg.cli._train_flags import TrainFlags
    from vig_pyg.detection.config import DetectionConfig
    from vig_pyg.engine.config_parser import ConfigParser

#: Short names of options of the detector, with their help.
DETECTOR = {
    "weights_backbone": "classification weights for the backbone, such as imagenet1k, a file or a URL; the first "
    "stages and all batch norms are then frozen",
    "min_size": "length in pixels to which the short side of an image is resized (default: 800); of several such as "
    "[480, 640, 800], training draws one for each image, and evaluation uses the last",
    "max_size": "largest length in pixels of the long side (default: 1333)",
}
SOURCE = "FILE.json or FILE.json:IMAGES (COCO's format), or FOLDER:LIST (Pascal VOC)"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommands of `detect` and their options.

    Args:
        commands: The subparsers of `vig-pyg`.

    Example:
        >>> from vig_pyg.cli._parser import Parser
        >>> add(Parser().add_subparsers())
    """
    detect = commands.add_parser("detect", help="object detection: train, evaluate, predict")
    show_help(detect)
    parts = detect.add_subparsers(title="commands", metavar="COMMAND")
    train = parts.add_parser("train", help="train a detector on annotated images", raw=True)
    train.set_defaults(run=_train, make_parser=make_parser)

    evaluate = parts.add_parser("evaluate", help="compute the average precision of a detector on annotated images")
    evaluate.add_argument("model", metavar="MODEL", help=MODEL)
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

    predict = parts.add_parser("predict", help="find objects in images, draw them, and write them as COCO JSON")
    predict.add_argument("model", metavar="MODEL", help=MODEL)
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


def make_parser() -> ConfigParser:
    """Create the parser of `detect train`, with the flags of a `DetectionConfig` and those of every run.

    Example:
        >>> make_parser().parse_flags(["--epochs", "3"])
        {'epochs': 3}
    """
    from vig_pyg.detection.config import DetectionConfig
    from vig_pyg.detection.presets import PRESETS
    from vig_pyg.engine.config_parser import ConfigParser

    parser = ConfigParser(
        DetectionConfig,
        prog="vig-pyg detect train",
        description="Train a detector on annotated images.",
        shortcuts={**network_flags(), **DETECTOR},
    )
    default = "none; the values that --help shows are those of 1x without aspect grouping"
    add_run_flags(parser, out="new run folder", presets=list(PRESETS), default=default)
    return parser


def _train(args: argparse.Namespace) -> int:
    from vig_pyg._requirements import require_detection

    require_detection()
    from vig_pyg._own_flags import own_flags
    from vig_pyg.detection.loading import load_data, make_detector
    from vig_pyg.engine import TrainingInterrupted, fit
    from vig_pyg.engine.config_file import to_yaml
    from vig_pyg.engine.processes import processes
    from vig_pyg.engine.run import check_run_folder
    from vig_pyg.weights import check_exists

    flags = read_flags(make_parser(), args.argv)
    config = _config(flags)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    out, resume = flags.resume or flags.out, flags.resume is not None
    if out is None:
        raise ValueError("--out is missing: name the new run folder (or --resume RUN, to continue a run).")
    first = processes().first
    if first:  # reading annotations may take long
        check_run_folder(out, resume=resume)
    if not resume:
        check_exists(config.options.get("weights_backbone"))
    try:
        data = load_data(config)
        model = make_detector(config, len(data.class_names), pretrained=not resume)
        last = fit(model, data, config, out, progress=not flags.quiet, resume=resume)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        return stopped(stop, out, "detect train", config.options, first=first)
    if first:
        scores = {name.removeprefix("val_"): score for name, score in last.items() if name.startswith("val_")}
        print(f"\n{scores_table(scores)}\n{file_list(sorted(out.iterdir()))}")
        say_next(in_shell("vig-pyg", "detect", "predict", out, "IMAGES", *own_flags(config.options)))
    return 0


def _config(flags: TrainFlags) -> DetectionConfig:
    """Return the configuration from file and flags, or the configuration of a run to resume."""
    from vig_pyg.detection.config import make_config
    from vig_pyg.engine.checkpoint import LAST
    from vig_pyg.engine.run import CONFIG_YAML

    if flags.resume is None:
        where, values = flags.file_values()
        for given in (values, flags.values):
            import_own(given)
        return make_config((where, values), ("the command line", flags.values), preset=flags.preset)
    source = flags.resumed_values(CONFIG_YAML)
    import_own(flags.values)
    config = make_config(source)
    start = config.options.get("weights_backbone")
    if start is not None and not (flags.resume / LAST).is_file():
        # the folder may be untrusted, so it must not cause reads or downloads
        raise ValueError(
            f"{flags.resume} has no {LAST}: the run ended before its first checkpoint, and its initial weights "
            f"({terminal_text(start, limit=100)}) are not read again. Remove the folder and start the run again."
        )
    return replace(config, **{name: value for name, value in flags.values.items() if name in FREE})


def _evaluate(args: argparse.Namespace) -> None:
    from vig_pyg._requirements import require_detection

    require_detection("Evaluating a detector", curves=False)
    from vig_pyg._io.output import check_no_input, write_file
    from vig_pyg.detection.data import check_source, open_source
    from vig_pyg.detection.evaluate import evaluate_detector
    from vig_pyg.detection.load import load_detector

    outputs = [args.out, args.json, args.csv]
    check_loading(args)
    check_share("score", args.score)
    check_outputs(args, outputs, [args.source, args.source.rpartition(":")[0]])
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
    check_share("threshold", args.threshold)
    out = Path("detections") if args.out is None and args.json is None and args.csv is None else args.out
    if out is not None:
        check_new_folder(out)
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
        print(f"vig-pyg: no object has a score of {args.threshold:g}: try --score {lower}", file=sys.stderr)
    say_next(in_shell("vig-pyg", "graph", args.model, paths[0], *own_words(args), "--out", "graph.html"))
    return status
