"""`vig-pyg detect train`: training of object detectors."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from vig_pyg.cli._backbone_train import Prepared, about_weights, config_of_run, fit_and_report
from vig_pyg.cli._parser import example_lines
from vig_pyg.cli._train_flags import NETWORK_FLAGS, add_run_flags, read_flags

if TYPE_CHECKING:
    from vig_pyg.detection.config import DetectionConfig
    from vig_pyg.engine.config_parser import ConfigParser

#: Short names of options of the detector, with their help.
DETECTOR: dict[str, str | Callable[[], str]] = {
    "weights_backbone": lambda: about_weights("; the first stages and all batch norms are then frozen"),
    "min_size": "length in pixels to which the short side of an image is resized (default: 800, or 480 to 800 with "
    "3x); if several are given, such as [480, 640, 800], training draws one for each image, and evaluation uses the "
    "last",
    "max_size": "largest length in pixels of the long side (default: 1333)",
}


#: Examples of the help.
EXAMPLES = {
    "vig-pyg detect train --train train.json:images --val val.json:images --out runs/mine": "COCO's format",
    "vig-pyg detect train --train VOC2012:train --val VOC2012:val --out runs/voc": "Pascal VOC",
    "vig-pyg detect train --train a.json --val b.json --out runs/mine --weights-backbone imagenet1k": "start from "
    "published weights",
    "vig-pyg detect train --resume runs/mine": "continue a stopped run",
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
        epilog=example_lines(EXAMPLES),
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

    Returns:
        0, or 128 + the number of the signal that stopped the run.
    """
    from vig_pyg._requirements import require_detection

    require_detection()
    from vig_pyg.detection.config import make_config
    from vig_pyg.engine.config_file import to_yaml

    flags = read_flags(make_parser(), args.argv)
    preset = {"preset": flags.preset} if flags.resume is None else {}
    config = config_of_run(flags, partial(make_config, **preset))
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    return fit_and_report(config, flags, "detect", lambda: _prepare(config, pretrained=flags.resume is None))


def _prepare(config: DetectionConfig, *, pretrained: bool) -> Prepared:
    from vig_pyg.detection.loading import load_data, make_detector

    data = load_data(config)
    model = make_detector(config, len(data.class_names), pretrained=pretrained)
    return Prepared(data, model, config, config.detector)
