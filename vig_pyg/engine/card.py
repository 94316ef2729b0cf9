"""The card of a run: what was trained, on what, how, and what came of it."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from vig_pyg._io.text import markdown_code, markdown_text
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.config_file import differing
from vig_pyg.engine.data import TrainData
from vig_pyg.engine.metrics import MetricsHistory

PACKAGES = ("vig-pyg", "torch", "torch_geometric", "torchvision", "lightning", "timm")


def model_card(folder: Path, model: nn.Module, data: TrainData, history: MetricsHistory, config: TrainConfig) -> str:
    """Make the card as Markdown.

    Args:
        folder: The run's folder.
        model: The network.
        data: The training and validation images.
        history: The scores of all epochs.
        config: Configuration of the training.
    """
    kept = history.kept
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    which = "of the epoch with the best held-out score" if history.keep == "best" else "of the last epoch"
    average = f", a moving average with decay {config.ema}" if config.ema else ""
    text = data.card(model, kept)
    lines = [
        f"# {text.name} on {markdown_text(data.title)}",
        "",
        f"{text.purpose} It has {parameters:.3f} M parameters and knows {len(data.class_names)} classes: "
        f"{', '.join(map(markdown_text, data.class_names[:20]))}{', …' if len(data.class_names) > 20 else ''}.",
        "",
        "## Result",
        "",
        f"Weights {which}{average}, on {len(data.val_set)} held-out images, each counted once:",
        "",
        "| | |",
        "|---|---|",
        *[f"| {markdown_text(name)} | {score} |" for name, score in text.scores.items()],
        f"| epoch | {int(kept['epoch'])} of {config.epochs} |",
        "",
        "The held-out images chose the epoch, so the score flatters the model." if history.keep == "best" else "",
        "",
        "## Use",
        "",
        "```bash",
        f"{text.command.format(in_shell(folder))}",
        "```",
        "",
        text.images,
        "",
        *_training(data, config),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _training(data: TrainData, config: TrainConfig) -> list[str]:
    """Describe how the model was trained, so that it can be trained again."""
    return [
        "## Training",
        "",
        f"- Data: {markdown_text(data.title)}, {len(data.train_set)} images to train on, {len(data.val_set)} held out.",
        f"- Command: {markdown_code(command())}",
        f"- Code: {commit() or 'not in git'}",
        f"- Seed: {config.seed}",
        f"- Versions: Python {platform.python_version()}, {', '.join(versions())}",
        f"- Machine: {platform.machine()}, {platform.system()}",
        "",
        "Every value that differs from the default (all are in `config.yaml`):",
        "",
        *[f"- {key}: {_shown(value)}" for key, value in differing(config).items()],
    ]


def _shown(value: Any) -> str:
    return str(value) if value is None or isinstance(value, int | float) else markdown_text(value)


def in_shell(folder: Path) -> str:
    """Return the name of the folder as a word of a command, or a placeholder where it cannot be written as one."""
    word = shlex.quote(str(folder))
    return word if word.isprintable() and "`" not in word else "RUN"


def command() -> str:
    """Return the command line of this process."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def commit() -> str | None:
    """Return the commit of this package's code, and whether there are changes on top; `None` outside git."""
    here = Path(__file__).parent
    try:
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", Path(__file__).name], cwd=here, capture_output=True, check=False
        )
        if tracked.returncode:
            return None
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:  # no git here
        return None
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else None


def versions() -> list[str]:
    """Return names and versions of the packages that the result depends on."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found
