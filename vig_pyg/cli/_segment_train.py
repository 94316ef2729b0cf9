"""`vig-pyg segment train`: training of segmentation networks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from vig_pyg.cli._backbone_train import Prepared, about_weights, config_of_run, fit_and_report
from vig_pyg.cli._parser import example_lines
from vig_pyg.cli._train_flags import NETWORK_FLAGS, add_run_flags, read_flags

if TYPE_CHECKING:
    from vig_pyg.engine.config_parser import ConfigParser
    from vig_pyg.segmentation.config import SegmentationConfig

#: Short names of options of the network, with their help.
SEGMENTER: dict[str, str | Callable[[], str]] = {
    "weights_backbone": about_weights,
    "out_channels": "width of the feature pyramid of the head (default: 256)",
}


#: Examples of the help.
EXAMPLES = {
    "vig-pyg segment train --train roads/train --val roads/val --out runs/roads": "folders with images/ and masks/",
    "vig-pyg segment train --train VOC2012:train --val VOC2012:val --out runs/voc": "Pascal VOC",
    "vig-pyg segment train --train a --val b --out runs/mine --weights-backbone runs/photos": "start from your "
    "own classifier",
    "vig-pyg segment train --resume runs/roads": "continue a stopped run",
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
        epilog=example_lines(EXAMPLES),
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

    Returns:
        0, or 128 + the number of the signal that stopped the run.
    """
    from vig_pyg._requirements import require_training

    require_training()
    from vig_pyg.engine.config_file import to_yaml
    from vig_pyg.segmentation.config import make_config

    flags = read_flags(make_parser(), args.argv)
    config = config_of_run(flags, make_config)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    return fit_and_report(config, flags, "segment", lambda: _prepare(config, pretrained=flags.resume is None))


def _prepare(config: SegmentationConfig, *, pretrained: bool) -> Prepared:
    from vig_pyg.segmentation.loading import load_data, make_segmenter, with_epochs

    data = load_data(config)
    config = with_epochs(config, data)
    model = make_segmenter(config, len(data.class_names), pretrained=pretrained)
    return Prepared(data, model, config, config.segmenter)
