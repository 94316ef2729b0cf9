"""`vig-pyg detect`: train, evaluate and use object detectors."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.signals import exit_status
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import MODEL, MODEL_FILES, add_device, add_own_code, device, import_own_code, say_broken

if TYPE_CHECKING:
    from vig_pyg.detection.plan import Plan

SOURCE = "FILE.json or FILE.json:IMAGES (COCO's format), or FOLDER:LIST (Pascal VOC)"


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """The commands below `detect` and their options."""
    detect = commands.add_parser("detect", help="object detection: train, evaluate, predict")
    parts = detect.add_subparsers(required=True, metavar="COMMAND")
    _add_train(parts.add_parser("train", help="train a detector"))

    evaluate = parts.add_parser("evaluate", help="average precision of a run on annotated pictures")
    evaluate.add_argument("model", metavar="MODEL", help=MODEL)
    add_own_code(evaluate)
    evaluate.add_argument("source", metavar="SOURCE", help=SOURCE)
    evaluate.add_argument("--out", type=Path, help="file for the detections in COCO's format")
    evaluate.add_argument("--overwrite", action="store_true", help="replace that file if it exists")
    evaluate.add_argument("--batch-size", type=int, default=2)
    evaluate.add_argument("--workers", type=int, default=2, help="processes that read pictures (default: 2)")
    add_device(evaluate)
    evaluate.add_argument("--quiet", action="store_true", help="no progress bar")
    evaluate.set_defaults(run=_evaluate)

    predict = parts.add_parser("predict", help="find objects in pictures, draw them, write COCO JSON")
    predict.add_argument("model", metavar="MODEL", help=MODEL)
    add_own_code(predict)
    predict.add_argument("images", metavar="PATH", nargs="+", help="picture, folder of pictures, or pattern")
    predict.add_argument("--out", type=Path, default=Path("detections"), help="folder, must not exist")
    predict.add_argument("--threshold", type=float, default=0.5, help="lowest score (default: 0.5)")
    add_device(predict)
    predict.add_argument("--quiet", action="store_true", help="no progress bar")
    predict.set_defaults(run=_predict)


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("--train", metavar="SOURCE", help=SOURCE)
    train.add_argument("--val", metavar="SOURCE", help="pictures to measure on, in the same form")
    train.add_argument("--out", type=Path, help="run folder, must not exist")
    train.add_argument("--resume", type=Path, metavar="RUN", help="go on with a run; it keeps all its settings")
    train.add_argument("--detector", default="retinanet", help="retinanet, fasterrcnn or maskrcnn (default: retinanet)")
    train.add_argument("--model", default="tiny", help="size of the PyramidViG (default: tiny)")
    train.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="option of the detector or of PyramidViG, the value as JSON: anchor_scale=3, drop_path_rate=0.1",
    )
    train.add_argument("--weights-backbone", help="classification weights for the PyramidViG")
    train.add_argument("--min-size", type=int, default=800, help="short side of the resized picture (default: 800)")
    train.add_argument("--max-size", type=int, default=1333, help="largest long side (default: 1333)")
    train.add_argument("--epochs", type=int, default=12)
    train.add_argument("--batch-size", type=int, default=16)
    train.add_argument("--lr", type=float, default=1e-4, help="largest learning rate (default: 1e-4)")
    train.add_argument("--schedule", default="step", help="step (1x) or cosine (default: step)")
    train.add_argument("--warmup", type=int, default=500, help="steps with a rising rate (default: 500)")
    train.add_argument("--precision", default="float32", help="float32 or bfloat16 (default: float32)")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--flip", default="h", help="none, h or hv (default: h)")
    train.add_argument("--scale", type=_range, default=(1.0, 1.0), metavar="LOW,HIGH", help="zoom of training pictures")
    train.add_argument("--color", type=float, default=0.0, help="strength of color changes (default: 0)")
    train.add_argument(
        "--on-bad", choices=["drop", "stop"], default="drop", help="at an object whose box or outline cannot be used"
    )
    train.add_argument("--measure-every", type=int, default=1, help="epochs between measurements (default: 1)")
    train.add_argument("--workers", type=int, default=2, help="processes that read pictures (default: 2)")
    train.add_argument("--quiet", action="store_true", help="no progress bar")
    train.set_defaults(run=_train, parser=train)


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected LOW,HIGH such as 0.8,1.25, got {text!r}") from None
    return low, high


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """Options of the builder."""
    options: dict[str, Any] = {"min_size": args.min_size, "max_size": args.max_size}
    if args.weights_backbone is not None:
        options["weights_backbone"] = args.weights_backbone
    for text in args.option:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"--option takes NAME=VALUE, got {text!r}.")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value  # a plain word
    if "num_classes" in options:
        raise ValueError("The annotations say how many classes there are: leave out --option num_classes.")
    return options


def _train(args: argparse.Namespace) -> int | None:
    from vig_pyg.detection.fit import fit

    how: dict[str, Any] = {"num_workers": args.workers, "measure_every": args.measure_every, "progress": not args.quiet}
    if args.resume is None:
        plan, out = _plan(args), args.out
    else:
        _refuse_settings(args)
        plan, out = None, args.resume
    try:
        last = fit(plan, out, resume=args.resume is not None, **how)
    except KeyboardInterrupt as stop:
        if not (out / "config.json").is_file():
            raise  # nothing was written
        print(f"\nvig-pyg: stopped; go on with: vig-pyg detect train --resume {terminal_text(out)}", file=sys.stderr)
        return exit_status(stop)
    _print_scores({name.removeprefix("val_"): value for name, value in last.items() if name.startswith("val_")})
    for path in sorted(out.iterdir()):
        print(f"  {terminal_text(path)}")
    return None


def _plan(args: argparse.Namespace) -> Plan:
    """What the options ask for."""
    from vig_pyg.detection.data import Augmentation
    from vig_pyg.detection.plan import DetectionRecipe, Plan

    for name in ("train", "val", "out"):
        if getattr(args, name) is None:
            raise ValueError(f"--{name} is missing (or --resume RUN, to go on with a run).")
    names = ("epochs", "batch_size", "lr", "schedule", "warmup", "precision", "seed")
    return Plan(
        train=args.train,
        val=args.val,
        detector=args.detector,
        variant=args.model,
        options=_options(args),
        recipe=DetectionRecipe(**{name: getattr(args, name) for name in names}),
        augmentation=Augmentation(flip=args.flip, scale=args.scale, color=args.color),
        on_bad=args.on_bad,
    )


def _refuse_settings(args: argparse.Namespace) -> None:
    """Settings beside --resume would be ignored: refuse them."""
    plain = vars(args.parser.parse_args([]))
    free = {"resume", "workers", "measure_every", "quiet"}
    given = [name for name, value in plain.items() if name not in free and getattr(args, name) != value]
    if given:
        raise ValueError(f"--resume keeps the settings of the run: leave out --{given[0].replace('_', '-')}.")


def _evaluate(args: argparse.Namespace) -> None:
    from vig_pyg.detection._extra import require_data

    require_data()
    from vig_pyg._io.output import check_free, check_no_input, write_file
    from vig_pyg.detection.load import load_detector
    from vig_pyg.detection.measure import measure

    if args.out is not None:
        check_free(args.out, overwrite=args.overwrite)
        read = [Path(args.model) / name for name in MODEL_FILES]
        check_no_input([args.out], [*read, args.source, args.source.rpartition(":")[0]])
    import_own_code(args)
    evaluator = measure(
        load_detector(args.model),
        args.source,
        batch_size=args.batch_size,
        num_workers=args.workers,
        device=device(args),
        progress=not args.quiet,
    )
    _print_scores(evaluator.compute())
    if args.out is not None:
        write_file(args.out, json.dumps(evaluator.results) + "\n", overwrite=args.overwrite)
        print(terminal_text(args.out))


def _predict(args: argparse.Namespace) -> int:
    from vig_pyg.detection._extra import require_data

    require_data()
    from tqdm import tqdm

    from vig_pyg._io.output import check_new_folder
    from vig_pyg.detection.load import load_detector
    from vig_pyg.detection.predict import PREDICTIONS, predict
    from vig_pyg.image_io import find_images

    check_new_folder(args.out)
    where = device(args)
    import_own_code(args)
    run, paths = load_detector(args.model), find_images(args.images)
    hidden = True if args.quiet else None  # None: where nobody looks
    try:
        with tqdm(total=len(paths), unit="picture", disable=hidden, leave=False) as bar:
            found = predict(run, paths, args.out, threshold=args.threshold, device=where, report=bar.update)
    except KeyboardInterrupt as stop:
        if not (args.out / PREDICTIONS).exists():  # it was not there before
            raise  # nothing was written
        drawn = len(list(args.out.glob("*.png")))
        words = f"{PREDICTIONS}, which is complete, and {drawn} of {len(paths)} drawings"
        print(f"\nvig-pyg: stopped; {terminal_text(args.out)} has {words}", file=sys.stderr)
        return exit_status(stop)
    counts = f"{len(found.annotations)} objects in {len(paths) - len(found.broken)} pictures"
    print(f"{counts}, in {terminal_text(args.out)}")
    return say_broken(found.broken, len(paths))


def _print_scores(scores: dict[str, float]) -> None:
    lines = [(terminal_text(name, limit=60), share) for name, share in scores.items()]
    width = max(len(name) for name, _ in lines)
    for name, share in lines:
        print(f"{name:{width}}  {100 * share:5.1f} %" if share >= 0 else f"{name:{width}}  no such object")
