"""`vig-pyg detect train`: training of object detectors."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import in_shell, say_next
from vig_pyg.cli._own_code import import_own
from vig_pyg.cli._train_flags import (
    FREE,
    NETWORK_FLAGS,
    TrainFlags,
    add_run_flags,
    announce,
    print_scores,
    read_flags,
    say_complete,
    stopped,
)

if TYPE_CHECKING:
    from vig_pyg.detection.config import DetectionConfig
    from vig_pyg.engine.config_parser import ConfigParser

#: Short names of options of the detector, with their help.
DETECTOR = {
    "weights_backbone": "classification weights for the backbone, such as imagenet1k, a file or a URL; the first "
    "stages and all batch norms are then frozen",
    "min_size": "length in pixels to which the short side of an image is resized (default: 800, or 480 to 800 with "
    "3x); of several such as [480, 640, 800], training draws one for each image, and evaluation uses the last",
    "max_size": "largest length in pixels of the long side (default: 1333)",
}


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
        shortcuts={**NETWORK_FLAGS, **DETECTOR},
        option_names=_option_names,
        presets={name: _dotted(values) for name, values in PRESETS.items()},
    )
    default = "none; the usual values are those of 1x without aspect grouping"
    add_run_flags(parser, out="new run folder", presets=list(PRESETS), default=default)
    return parser


def _dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a preset by dotted names."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= {f"{name}.{part}": one for part, one in value.items()} if isinstance(value, Mapping) else {name: value}
    return found


def _option_names() -> set[str]:
    from vig_pyg import backbones
    from vig_pyg.detection.options import OPTIONS

    return backbones.option_names() | set(OPTIONS)


def train_detector(args: argparse.Namespace) -> int:
    """Train, or print the configuration.

    Args:
        args: The parsed arguments, with all flags in `argv`.

    Returns:
        0, or 128 + the number of the signal that stopped the run.
    """
    from vig_pyg._requirements import require_detection

    require_detection()
    from vig_pyg.engine.config_file import to_yaml

    flags = read_flags(make_parser(), args.argv)
    config = _config(flags)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    return _fit(config, flags)


def _fit(config: DetectionConfig, flags: TrainFlags) -> int:
    from vig_pyg._own_flags import own_flags
    from vig_pyg.detection.loading import load_data, make_detector
    from vig_pyg.engine import TrainingInterrupted, fit
    from vig_pyg.engine.processes import processes
    from vig_pyg.engine.run import check_run_folder
    from vig_pyg.weights import check_exists

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
        if first:
            announce(config, data, config.detector, out, resumed=resume)
            if resume:
                say_complete(out, config, "detect train", epochs="MORE")
        last = fit(model, data, config, out, progress=not flags.quiet, resume=resume)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        return stopped(stop, out, "detect train", config.options, first=first)
    if first:
        print_scores(last, data, out)
        say_next(in_shell("vig-pyg", "detect", "predict", out, "IMAGES", *own_flags(config.options)))
    return 0


def _config(flags: TrainFlags) -> DetectionConfig:
    """Return the configuration from file and flags, or the configuration of a run to resume."""
    from vig_pyg.detection.config import make_config

    if flags.resume is None:
        where, values = flags.file_values()
        for given in (values, flags.values):
            import_own(given)
        return make_config((where, values), ("the command line", flags.values), preset=flags.preset)
    from vig_pyg.engine.checkpoint import LAST
    from vig_pyg.engine.run import CONFIG_YAML

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
