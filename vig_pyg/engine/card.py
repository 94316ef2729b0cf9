"""The model card of a run: the model, the data, the configuration and the results."""

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

from vig_pyg._io.faults import MOST_NAMED
from vig_pyg._io.launcher import as_started, launcher
from vig_pyg._io.numbers import are, counted, few_images
from vig_pyg._io.text import markdown_code, markdown_text
from vig_pyg._own_flags import own_flags
from vig_pyg.artifact import describe
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.config_file import differing
from vig_pyg.engine.data import TrainData
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.engine.run import LEFT_OUT

PACKAGES = ("vig-pyg", "torch", "torch_geometric", "torchvision", "lightning", "timm")


def model_card(folder: Path, model: nn.Module, data: TrainData, history: MetricsHistory, config: TrainConfig) -> str:
    """Return the model card as Markdown.

    Example:
        >>> from vig_pyg import vig_micro
        >>> from vig_pyg.classification import DigitsData, load_config
        >>> from vig_pyg.engine.metrics import MetricsHistory
        >>> model = vig_micro(in_channels=1, image_size=28, num_classes=10)
        >>> history = MetricsHistory("val_accuracy")
        >>> history.rows = [{"epoch": 1, "val_accuracy": 0.9, "val_loss": 0.5, "val_macro_accuracy": 0.9}]
        >>> card = model_card(Path("runs/mine"), model, DigitsData(), history, load_config("digits"))
        >>> "# vig_micro on digits" in card
        True
    """
    kept = history.kept
    parameters = sum(p.numel() for p in model.parameters()) / 1e6
    which = "of the epoch with the best validation score" if history.keep == "best" else "of the last epoch"
    average = f", a moving average with decay {config.ema}" if config.ema else ""
    text = data.card(model, kept)
    lines = [
        f"# {text.name} on {markdown_text(data.title)}",
        "",
        f"{text.purpose} It has {parameters:.3f} M parameters and {counted(len(data.class_names), 'classes')}: "
        f"{', '.join(map(markdown_text, data.class_names[:20]))}{', …' if len(data.class_names) > 20 else ''}.",
        "",
        "## Result",
        "",
        f"Scores of the weights {which}{average}, on {_validation(data)}, each counted once:",
        "",
        "| | |",
        "|---|---|",
        *[f"| {markdown_text(name)} | {score} |" for name, score in text.scores.items()],
        f"| epoch | {int(kept['epoch'])} of {config.epochs} |",
        "",
        "The score is optimistically biased, because it also selected the epoch." if history.keep == "best" else "",
        "",
        data.loss_note(config),
        "",
        "## Use",
        "",
        "```bash",
        " ".join(
            [as_started(text.command).format(in_shell(folder)), *map(shlex.quote, own_flags(_network_options(model)))]
        ),
        "```",
        "",
        text.images,
        "",
        *_training(data, config),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"


def _validation(data: TrainData) -> str:
    few = few_images(len(data.val_set), shares=False)
    return f"only {few}" if few else counted(len(data.val_set), "validation images")


def _network_options(model: nn.Module) -> dict[str, Any]:
    """Return the entry of `config.json` that has the operator and the graph of a network."""
    described = describe(model)[1]
    backbone = described.get("backbone")
    return backbone if isinstance(backbone, dict) else described


def _training(data: TrainData, config: TrainConfig) -> list[str]:
    """Return the section that describes how to reproduce the training."""
    return [
        "## Training",
        "",
        f"- Data: {markdown_text(data.title)}, {len(data.train_set)} training, {len(data.val_set)} validation "
        f"{'image' if len(data.val_set) == 1 else 'images'}.",
        f"- Command: {markdown_code(command())}",
        f"- Code: {commit() or 'not in git'}",
        f"- Seed: {config.seed}",
        f"- Versions: Python {platform.python_version()}, {', '.join(versions())}",
        f"- Machine: {platform.machine()}, {platform.system()}",
        "",
        "These values differ from the defaults (`config.yaml` has all values):",
        "",
        *[f"- {key}: {_shown(value)}" for key, value in differing(config).items()],
        *_left_out(data),
    ]


def _left_out(data: TrainData) -> list[str]:
    """Return the number of images that were left out, and why; `left_out.csv` has all of them."""
    if not data.left_out:
        return []
    more = len(data.left_out) - MOST_NAMED
    return [
        "",
        f"{counted(len(data.left_out), 'images')} {are(len(data.left_out))} left out, because of `on_bad: drop`:",
        "",
        *[f"- {markdown_text(fault)}" for fault in data.left_out[:MOST_NAMED]],
        *[f"- and {more:,} more (`{LEFT_OUT}` has all)"] * (more > 0),
    ]


def _shown(value: Any) -> str:
    return str(value) if value is None or isinstance(value, int | float) else markdown_text(value)


def in_shell(folder: Path) -> str:
    """Return the folder name quoted for a shell, or the placeholder `RUN` if it cannot be quoted.

    Example:
        >>> in_shell(Path("my runs")), in_shell(Path("a`b"))
        ("'my runs'", 'RUN')
    """
    word = shlex.quote(str(folder))
    return word if word.isprintable() and "`" not in word else "RUN"


def command() -> str:
    """Return the command line of this process, as the user started it."""
    name, ours = Path(sys.argv[0]).name, Path(__file__).parents[1]
    is_ours = name == "vig-pyg" or (name == "__main__.py" and ours in Path(sys.argv[0]).parents)
    return " ".join([launcher() if is_ours else shlex.quote(name), *map(shlex.quote, sys.argv[1:])])


def commit() -> str | None:
    """Return the commit of this package's code, and whether there are uncommitted changes; `None` outside git."""
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
    except OSError:  # git is not installed
        return None
    return f"commit {done.stdout.strip()}" if done.returncode == 0 else None


def versions() -> list[str]:
    """Return the names and versions of the packages that affect the result."""
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return found
