"""Options that are shared by the commands for images."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vig_pyg._io.faults import MOST_NAMED
from vig_pyg._io.launcher import launcher
from vig_pyg._io.numbers import counted
from vig_pyg._io.output import check_free, check_no_input
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._own_code import import_own

if TYPE_CHECKING:
    from vig_pyg.classification import ImageClassifier, UnreadableImage

#: Exit status if some images could not be read.
SOME_BROKEN = 1

#: Files of a run folder that are needed to use and resume it.
MODEL_FILES = ("config.json", "model.safetensors", "best.safetensors", "last.ckpt", "config.yaml", "metrics.csv")


#: Help text of the model argument of every command.
MODEL = (
    "a run folder or a folder of save_pretrained, published weights such as pvig_small, or a name on the Hugging Face "
    "hub such as somebody/my-vig"
)


#: The same for detectors and segmentation networks.
TRAINED = (
    "a run folder of `{} train`, or a name on the Hugging Face hub such as somebody/my-vig; published weights exist "
    "only for classifiers"
)


def add_model(command: argparse.ArgumentParser) -> None:
    """Add the options of the model and its preprocessing."""
    command.add_argument(
        "model",
        metavar="MODEL",
        help=MODEL,
    )
    group = command.add_argument_group("model and preprocessing")
    group.add_argument("--weights", metavar="FILE", help="file or URL of weights for a model that is given by its name")
    group.add_argument(
        "--image-size",
        type=int,
        metavar="PIXELS",
        help="side length of the crop in pixels (default: that of the model)",
    )
    group.add_argument(
        "--position",
        choices=["official", "grid"],
        help="position mode of the neighbor search in a Pyramid ViG (default: that of the model)",
    )
    _add_paths_of_code(group)
    command.add_argument("--quiet", action="store_true", help="show no progress")


def add_own_code(command: argparse.ArgumentParser) -> None:
    """Add options for the user's operator and graph; code is never imported just because a folder names it."""
    _add_paths_of_code(command.add_argument_group("model"))


def _add_paths_of_code(group: argparse._ArgumentGroup) -> None:
    for kind, what, example in (
        ("conv", "operator", "my_ops:MyConv"),
        ("graph", "graph builder", "my_graphs:Ring, or of several as [my_graphs:Ring, my_graphs:Star]"),
    ):
        text = f"import path of your own {what}, if the model was trained with one, such as {example}"
        group.add_argument(f"--{kind}", metavar="MODULE:NAME", help=text)


def import_own_code(args: argparse.Namespace) -> None:
    """Import the operator and the graph of the options of `add_own_code`."""
    graph = args.graph
    if isinstance(graph, str) and graph.startswith("["):
        from vig_pyg._requirements import require

        require("A list of graphs", ("yaml",), "train")
        from vig_pyg._io.bounded_yaml import parse_yaml

        graph = parse_yaml(graph, where="--graph")
    import_own({"options": {"conv": args.conv, "graph": graph}})


def add_loading(command: argparse.ArgumentParser, *, batch_size: int = 32) -> None:
    """Add the options for the batch size, the number of reading processes, and the device."""
    group = command.add_argument_group("speed and memory")
    text = f"number of images in a batch (default: {batch_size})"
    group.add_argument("--batch-size", type=int, default=batch_size, metavar="IMAGES", help=text)
    text = "number of processes that read images, at most one for each core (default: 2)"
    group.add_argument("--num-workers", type=int, default=2, metavar="PROCESSES", help=text)
    _add_device(group)


def add_device(command: argparse.ArgumentParser) -> None:
    """Add the option for the device; training commands have Lightning's options instead."""
    _add_device(command.add_argument_group("speed and memory"))


def _add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device", help="device of the model, such as cpu, cuda or cuda:1 (default: cuda if available, else cpu)"
    )


def add_files(command: argparse.ArgumentParser) -> None:
    """Add the options for output files."""
    group = command.add_argument_group("output files")
    group.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON (default: no file)")
    group.add_argument("--csv", type=Path, metavar="FILE", help="write the results as CSV (default: no file)")
    group.add_argument("--overwrite", action="store_true", help="replace these output files if they exist")


def check_files(args: argparse.Namespace) -> None:
    """Raise an error for existing output files before the results are computed."""
    for path in (args.json, args.csv):
        if path is not None:
            check_free(path, overwrite=args.overwrite)
    if args.json is not None and args.csv is not None and args.json.resolve() == args.csv.resolve():
        raise ValueError(f"--json and --csv are both {args.csv}: choose different names.")
    check_no_model_file(args, args.json, args.csv)


def check_no_model_file(args: argparse.Namespace, *outputs: Path | None) -> None:
    """Raise an error if an output would replace a file of the model; other files in its folder are allowed."""
    read = [Path(args.model) / name for name in MODEL_FILES]
    check_no_input(outputs, [*read, *([args.weights] if args.weights is not None else [])])


def check_outputs(args: argparse.Namespace, outputs: Sequence[Path | None], read: Iterable[str | Path]) -> None:
    """Raise an error if two output files are the same, or one exists already, is read, or is a file of the model."""
    given = [path for path in outputs if path is not None]
    for path in given:
        check_free(path, overwrite=args.overwrite)
    resolved = [path.resolve() for path in given]
    for i, path in enumerate(given):
        if resolved[i] in resolved[:i]:
            raise ValueError(f"Two outputs are both {path}: choose two names.")
    check_no_input(given, [*(Path(args.model) / name for name in MODEL_FILES), *read])


def check_loading(args: argparse.Namespace) -> None:
    """Check the numbers of `add_loading` and `add_model`, and that a weight file exists, before a model is loaded."""
    if args.batch_size < 1 or args.num_workers < 0:
        raise ValueError(
            f"--batch-size must be at least 1 and --num-workers at least 0, got {args.batch_size} and "
            f"{args.num_workers}."
        )
    check_model_options(args)


def check_model_options(args: argparse.Namespace) -> None:
    """Check the options of `add_model` that no model is needed for; commands without them are accepted."""
    from vig_pyg.weights import check_exists

    size = getattr(args, "image_size", None)
    if size is not None and size < 1:
        raise ValueError(f"--image-size must be at least 1, got {size}.")
    check_exists(getattr(args, "weights", None))


def check_share(flag: str, value: float) -> None:
    """Raise an error for a score outside [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{flag} must be from 0 to 1, got {value}.")


def load_model(args: argparse.Namespace) -> ImageClassifier:
    """Load the model of the options."""
    from vig_pyg.classification import load_classifier

    import_own_code(args)
    return load_classifier(
        args.model,
        weights=args.weights,
        position=args.position,
        image_size=args.image_size,
        progress=not args.quiet,
    )


def device(args: argparse.Namespace) -> str:
    """Return the device of the options."""
    import torch

    name: str = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name).item()  # a few devices, such as meta, cannot store data
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        only = f"the only one is {there[0]}" if len(there) == 1 else f"choose one of {', '.join(there)}"
        raise ValueError(f"There is no device {name!r} here: {only}.") from error
    return name


def say_broken(broken: list[UnreadableImage], total: int) -> int:
    """Print how many images could not be read, and the first ten, and return the exit status; --json has them all."""
    if not broken:
        return 0
    print(f"vig-pyg: {len(broken):,} of {counted(total, 'images')} could not be read:", file=sys.stderr)
    for one in broken[:MOST_NAMED]:
        print(f"  {terminal_text(one.path)}: {terminal_text(one.reason)}", file=sys.stderr)
    if len(broken) > MOST_NAMED:
        print(f"  and {len(broken) - MOST_NAMED:,} more", file=sys.stderr)
    return SOME_BROKEN


def say_next(*commands: str) -> None:
    """Print what can be done next, on a terminal only, so that output in files and pipes contains results only.

    Args:
        commands: Commands, as `in_shell` writes them.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        print("\nNext: " + "\n      ".join(commands))


def say_note(text: str) -> None:
    """Print a note to standard error, so that standard output contains results only.

    Args:
        text: One sentence without a final period, as printable text.
    """
    print(f"vig-pyg: note: {text}", file=sys.stderr)


def note_on_built_in(data: str) -> None:
    """Print a note if a folder has the name of built-in data, because the name means the data and not the folder."""
    from vig_pyg.classification.named import BUILT_IN

    if data in BUILT_IN and Path(data).is_dir():
        say_note(f"{data} is the built-in data; the folder {data} here is ./{data}")


def own_words(args: argparse.Namespace) -> list[str]:
    """Return the flags that name the user's own code, to repeat them in the next command."""
    from vig_pyg._own_flags import own_flags

    return own_flags(vars(args))


def in_shell(*words: object) -> str:
    """Return a command that can be copied to a shell; a word in capitals is a placeholder.

    Args:
        words: The words. If the first is `vig-pyg`, it is written as the user starts it, such as `uv run vig-pyg`.

    Example:
        >>> in_shell("vig-pyg", "predict", "runs/my photos", "IMAGES")
        "vig-pyg predict 'runs/my photos' IMAGES"
    """
    first, *others = (shlex.quote(terminal_text(word)) for word in words)
    return " ".join([launcher() if first == "vig-pyg" else first, *others])
