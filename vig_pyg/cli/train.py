"""`vig-pyg train`: training of a classifier on the built-in digits or on your own images."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.numbers import counted, few_images, percent
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import in_shell, note_on_built_in, say_next
from vig_pyg.cli._own_code import import_named, import_own
from vig_pyg.cli._parser import example_lines
from vig_pyg.cli._tables import file_list
from vig_pyg.cli._train_flags import (
    DATA,
    NETWORK_FLAGS,
    TrainFlags,
    add_run_flags,
    is_complete,
    length_of,
    network_options,
    note_on_steps,
    read_flags,
    say_complete,
    stopped,
)

if TYPE_CHECKING:
    from vig_pyg.classification import ClassificationConfig, ImageData
    from vig_pyg.engine.config_parser import ConfigParser

ABOUT = "train a classifier on built-in digits, or on --data"
#: Which preset is used if none is named (see `config_of`), for the help.
DEFAULT = "digits without --data, finetune with --weights, otherwise scratch"
EXAMPLES = {
    "vig-pyg train": "built-in digits, in about a minute",
    "vig-pyg train --data photos": "your own images: a folder with one folder for each class",
    "vig-pyg train --data photos --model pvig_tiny --weights pvig_tiny": "start from published weights",
    "vig-pyg train --conv my_ops:MyConv": "your own operator, the class MyConv in my_ops.py",
    "vig-pyg train --resume runs/photos": "continue a stopped run",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; its flags are created when it runs."""
    commands.add_parser("train", help=ABOUT, raw=True).set_defaults(run=run, make_parser=make_parser)


def make_parser() -> ConfigParser:
    """Create the parser, with the flags of a `ClassificationConfig` and those of every run.

    Example:
        >>> make_parser().parse_flags(["--epochs", "3"])
        {'epochs': 3}
    """
    from vig_pyg.classification.presets import PRESETS

    parser = classification_parser("train", f"{ABOUT.capitalize()}.", EXAMPLES, NETWORK_FLAGS)
    out = "new run folder (default: runs/NAME of the data)"
    add_run_flags(parser, out=out, presets=list(PRESETS), default=DEFAULT)
    return parser


def classification_parser(
    command: str, about: str, examples: Mapping[str, str], shortcuts: Mapping[str, str | Callable[[], str]]
) -> ConfigParser:
    """Create the parser of a command with the flags of a `ClassificationConfig`, and short flags of some options."""
    from vig_pyg.classification.config import ClassificationConfig
    from vig_pyg.classification.presets import PRESETS
    from vig_pyg.engine.config_file import differing
    from vig_pyg.engine.config_parser import ConfigParser

    return ConfigParser(
        ClassificationConfig,
        prog=f"vig-pyg {command}",
        description=about,
        epilog=example_lines(examples),
        shortcuts=shortcuts,
        presets={name: differing(preset) for name, preset in PRESETS.items()},
        option_names=network_options,
    )


def run(args: argparse.Namespace) -> int:
    """Train, or print the configuration.

    Returns:
        0, or 128 + the number of the signal that stopped the run: 143 after SIGTERM, 130 after Ctrl-C.
    """
    from vig_pyg.classification import to_yaml

    flags = read_flags(make_parser(), args.argv)
    config = _config(flags)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    return _train(config, flags)


def _train(config: ClassificationConfig, flags: TrainFlags) -> int:
    from vig_pyg.classification import load_data, make_model
    from vig_pyg.classification.networks import check_names
    from vig_pyg.engine import TrainingInterrupted, fit
    from vig_pyg.engine.processes import processes
    from vig_pyg.engine.run import check_run_folder, free_name
    from vig_pyg.weights import check_exists

    first = processes().first
    if first and (given := flags.resume or flags.out):  # reading images may take long
        check_run_folder(given, resume=flags.resume is not None)
    if flags.resume is not None and is_complete(flags.resume, config):
        if first:
            say_complete(flags.resume, config, "train")
            _say_next(flags.resume, config)
        return 0
    check_names(config.model, config.options)
    if flags.resume is None:
        for source in (config.weights, config.teacher_weights):
            check_exists(source)
        if first:
            note_on_built_in(config.data)
    # an untrusted run folder causes no download: the user names the data again
    data = load_data(config, download=flags.resume is None or DATA in flags.values)
    out = flags.resume or flags.out or free_name(Path("runs") / _folder_name(data.title))
    try:
        options = {**config.options, "drop_path_rate": config.drop_path_rate}
        model = make_model(config.model, options, data, seed=config.seed)
        if first:
            _announce(config, data, out, resumed=flags.resume is not None)
            if not flags.resume:
                note_on_steps(data, config.epochs)
        how: dict[str, Any] = {
            "weights": config.weights,
            "overridden": [*options, "num_classes", "in_channels", "image_size"],
        }
        kept = fit(model, data, config, out, **how, progress=not flags.quiet, resume=flags.resume is not None)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        return stopped(stop, out, "train", config.options, first=first)
    if first:
        few = few_images(len(data.val_set), shares=True)
        accuracy = f"{percent(kept['val_accuracy'])}{f' (only {few})' if few else ''}"
        print(f"\nValidation accuracy: {accuracy}\n{file_list(sorted(out.iterdir()))}")
        if (note := data.loss_note(config)) and not flags.quiet:  # the losses of each epoch were shown
            print(f"({note})")
        _say_next(out, config)
    return 0


def _say_next(out: Path, config: ClassificationConfig) -> None:
    from vig_pyg._own_flags import own_flags

    own = own_flags(config.options)
    see = in_shell("vig-pyg", "graph", out, "IMAGE", *own, "--out", "graph.html")
    say_next(in_shell("vig-pyg", "predict", out, "IMAGES", *own), see)


def _announce(config: ClassificationConfig, data: ImageData, out: Path, *, resumed: bool) -> None:
    """Print what is trained; the network is there, so that its options are right."""
    size = config.image_size
    print(
        f"{'Resuming' if resumed else 'Training'} {config.model} on {terminal_text(data.title)}: "
        f"{counted(len(data.train_set), 'images')} of {size} x {size} pixels, {len(data.val_set):,} for validation, "
        f"{counted(len(data.class_names), 'classes')}, {length_of(config, data)}. "
        f"Run folder: {terminal_text(out)}",
        flush=True,
    )


def _folder_name(title: str) -> str:
    """Return the name of the data as a folder name; a long name is shortened to leave room for a number."""
    return title.encode(errors="surrogateescape")[:200].decode(errors="surrogateescape").strip(". ") or "data"


def _config(flags: TrainFlags) -> ClassificationConfig:
    """Return the configuration from preset, file and flags, or the configuration of a run to resume."""
    from vig_pyg.classification import load_config

    if flags.resume is not None:
        from vig_pyg.engine.run import CONFIG_YAML

        source = flags.resumed_values(CONFIG_YAML)
        import_own(flags.values)
        found = load_config("digits", source)
        _refuse_downloads(found, flags.resume, flags.values)
        return found
    return config_of(flags.preset, *flags.file_values(), flags.values)


def config_of(
    preset: str | None, where: str, values: Mapping[str, Any], given: Mapping[str, Any]
) -> ClassificationConfig:
    """Return the configuration from a preset, a file and the command line, and import the code that these name."""
    from vig_pyg.classification import load_config

    import_named(where, values, given)
    either = {**values, **given}
    default = "finetune" if either.get("weights") else "scratch"
    preset = preset or (default if either.get("data", "digits") != "digits" else "digits")
    return load_config(preset, (where, values), ("the command line", given))


def _refuse_downloads(config: ClassificationConfig, folder: Path, given: Mapping[str, Any]) -> None:
    """Raise an error if an untrusted run folder would cause a download; only values on the command line may do so."""
    from vig_pyg.engine.checkpoint import LAST
    from vig_pyg.engine.run import CONFIG_YAML

    command = in_shell("vig-pyg", "train", "--config", folder / CONFIG_YAML, "--out", "NEW")
    again = f"To download it, start a new run: {command}."
    if config.weights and "://" in config.weights and not (folder / LAST).exists():
        raise ValueError(f"{folder / CONFIG_YAML} starts from weights at {config.weights}. {again}")
    named = config.teacher is not None and not Path(config.teacher).is_dir() and config.teacher_weights is None
    if named and "teacher" not in given:
        raise ValueError(
            f"{folder / CONFIG_YAML} names the teacher {config.teacher}, which is not a folder here. If it is the name "
            "of a network, whose weights may be downloaded, repeat it: "
            f"{in_shell('vig-pyg', 'train', '--resume', folder, '--teacher', config.teacher)}"
        )
    files = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}.get(config.data)
    if files is not None and not (Path(config.root) / files).is_dir():
        raise FileNotFoundError(f"{folder / CONFIG_YAML} names {config.data}, which is not in {config.root}. {again}")
