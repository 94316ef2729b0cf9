"""`vig-pyg segment train`: training of segmentation networks."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

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
    from vig_pyg.engine.config_parser import ConfigParser
    from vig_pyg.segmentation.config import SegmentationConfig

#: Short names of options of the network, with their help.
SEGMENTER = {
    "weights_backbone": "classification weights for the backbone, such as imagenet1k, a file or a URL",
    "out_channels": "width of the feature pyramid of the head (default: 256)",
}


def make_parser() -> ConfigParser:
    """Create the parser of `segment train`, with the flags of a `SegmentationConfig` and those of every run.

    Example:
        >>> make_parser().parse_flags(["--epochs", "3"])
        {'epochs': 3}
    """
    from vig_pyg.engine.config_parser import ConfigParser
    from vig_pyg.segmentation.config import SegmentationConfig

    parser = ConfigParser(
        SegmentationConfig,
        prog="vig-pyg segment train",
        description="Train a segmentation network on images and masks.",
        shortcuts={**NETWORK_FLAGS, **SEGMENTER},
        option_names=_option_names,
    )
    add_run_flags(parser, out="new run folder")
    return parser


def _option_names() -> set[str]:
    from vig_pyg import backbones
    from vig_pyg.segmentation.options import OPTIONS

    return backbones.option_names() | set(OPTIONS)


def train_segmenter(args: argparse.Namespace) -> int:
    """Train, or print the configuration.

    Args:
        args: The parsed arguments, with all flags in `argv`.

    Returns:
        0, or 128 + the number of the signal that stopped the run.
    """
    from vig_pyg._requirements import require_training

    require_training()
    from vig_pyg.engine.config_file import to_yaml

    flags = read_flags(make_parser(), args.argv)
    config = _config(flags)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    return _fit(config, flags)


def _fit(config: SegmentationConfig, flags: TrainFlags) -> int:
    from vig_pyg._own_flags import own_flags
    from vig_pyg.engine import TrainingInterrupted, fit
    from vig_pyg.engine.processes import processes
    from vig_pyg.engine.run import check_run_folder
    from vig_pyg.segmentation.loading import load_data, make_segmenter, with_epochs
    from vig_pyg.weights import check_exists

    out, resume = flags.resume or flags.out, flags.resume is not None
    if out is None:
        raise ValueError("--out is missing: name the new run folder (or --resume RUN, to continue a run).")
    first = processes().first
    if first:  # reading masks may take long
        check_run_folder(out, resume=resume)
    if not resume:
        check_exists(config.options.get("weights_backbone"))
    try:
        data = load_data(config)
        config = with_epochs(config, data)
        model = make_segmenter(config, len(data.class_names), pretrained=not resume)
        if first:
            announce(config, data, config.segmenter, out, resumed=resume)
            if resume:
                say_complete(out, config, "segment train", **{"epochs" if config.steps is None else "steps": "MORE"})
        last = fit(model, data, config, out, progress=not flags.quiet, resume=resume)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        return stopped(stop, out, "segment train", config.options, first=first)
    if first:
        print_scores(last, data, out)
        say_next(in_shell("vig-pyg", "segment", "predict", out, "IMAGES", *own_flags(config.options)))
    return 0


def _config(flags: TrainFlags) -> SegmentationConfig:
    """Return the configuration from file and flags, or the configuration of a run to resume."""
    from vig_pyg.segmentation.config import make_config

    if flags.resume is None:
        where, values = flags.file_values()
        for given in (values, flags.values):
            import_own(given)
        return make_config((where, values), ("the command line", flags.values))
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
