"""What training a detector and a segmentation network from the command line have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vig_pyg._io.launcher import as_started
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import in_shell, say_next, say_note
from vig_pyg.cli._own_code import import_named, import_own, is_first, refuse_unnamed_code
from vig_pyg.cli._train_flags import (
    FREE,
    TrainFlags,
    announce,
    is_complete,
    note_on_steps,
    print_scores,
    say_complete,
    stopped,
)

if TYPE_CHECKING:
    from torch import nn

    from vig_pyg.engine import TrainConfig, TrainData
    from vig_pyg.engine.config_file import Source

ConfigT = TypeVar("ConfigT", bound="TrainConfig")


@dataclass(frozen=True)
class Prepared:
    """What a task has loaded for a run.

    Args:
        config: The configuration of the run, with its final number of epochs.
        name: Name of the network, for the first line.
    """

    data: TrainData
    model: nn.Module
    config: Any
    name: str


def fit_and_report(config: Any, flags: TrainFlags, task: str, prepare: Callable[[], Prepared]) -> int:
    """Train a network on a backbone, and print what was written.

    Args:
        config: The configuration, whose options may name weights of the backbone.
    """
    from vig_pyg._trained_backbone import check_weights
    from vig_pyg.engine import TrainingInterrupted, fit
    from vig_pyg.engine.processes import processes
    from vig_pyg.engine.run import check_run_folder

    out, resume, command = flags.resume or flags.out, flags.resume is not None, f"{task} train"
    if out is None:
        raise ValueError("--out is missing: name the new run folder (or --resume RUN, to continue a run).")
    first = processes().first
    if first:  # reading annotations may take long
        check_run_folder(out, resume=resume)
    if resume and is_complete(out, config):
        if first:
            longer = "epochs" if getattr(config, "steps", None) is None else "steps"
            say_complete(out, config, command, **{longer: "MORE"})
            _say_next(out, task, config)
        return 0
    if not resume:
        check_weights(config.options.get("weights_backbone"))
    try:
        run = prepare()
        if first:
            announce(run.config, run.data, run.name, out, resumed=resume)
            if not resume:
                note_on_steps(run.data, run.config.epochs)
        last = fit(run.model, run.data, run.config, out, progress=not flags.quiet, resume=resume)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        return stopped(stop, out, command, config.options, first=first)
    if first:
        print_scores(last, run.data, out)
        _say_next(out, task, config)
    return 0


def _say_next(out: Path, task: str, config: Any) -> None:
    from vig_pyg._own_flags import own_flags

    say_next(in_shell("vig-pyg", task, "predict", out, "IMAGES", *own_flags(config.options)))


def about_weights(then: str = "") -> str:
    """Return the help of `--weights-backbone`.

    Args:
        then: What the weights change, as the rest of the sentence.
    """
    return (
        f"classification weights for the backbone: imagenet1k, a run folder of {as_started('vig-pyg train')}, a name "
        f"on the Hugging Face hub, a file or a URL; without --model, the backbone is that of the run or the hub{then}"
    )


def _of_start(given: Sequence[Source]) -> list[Source]:
    """Return the model and the options of the trained classifier from which a backbone starts, if no model is given.

    Its options give way to those of the user. They are told, because they come from a file.
    """
    options: dict[str, Any] = {}
    for _, values in given:
        whole = values.get("options")
        options = dict(whole) if isinstance(whole, Mapping) else options
        options |= {name.removeprefix("options."): one for name, one in values.items() if name.startswith("options.")}
    start = options.get("weights_backbone")
    if not isinstance(start, str) or any("model" in values for _, values in given):
        return []  # and torch is not loaded
    from vig_pyg._trained_backbone import architecture_of, is_trained_model, network_flags
    from vig_pyg.artifact import CONFIG

    if not is_trained_model(start):
        return []
    name, theirs = architecture_of(start)
    taken = {key: value for key, value in theirs.items() if key not in options}
    if taken.get("in_channels", 3) != 3:
        raise ValueError(
            f"{start} expects images with in_channels={taken['in_channels']}, but images are read in color here: add "
            "--options.in-channels 3, which adapts its first layer, or train a classifier with --in-channels 3."
        )
    for key in ("conv", "graph"):
        refuse_unnamed_code(start, key, taken.get(key), {})
    if is_first():
        say_note(f"the backbone is that of {terminal_text(start)}: {' '.join(network_flags(name, taken))}")
    return [(f"{start}: {CONFIG}", {"model": name, **{f"options.{key}": value for key, value in taken.items()}})]


def config_of_run(flags: TrainFlags, make: Callable[..., ConfigT]) -> ConfigT:
    """Return the configuration from file and flags, or the configuration of a run to resume.

    Raises:
        ValueError: If a run to resume would have to read its initial weights again.
    """
    if flags.resume is None:
        where, values = flags.file_values()
        import_named(where, values, flags.values)
        given = ((where, values), ("the command line", flags.values))
        return make(*given, *_of_start(given))
    from vig_pyg.engine.checkpoint import LAST
    from vig_pyg.engine.run import CONFIG_YAML

    source = flags.resumed_values(CONFIG_YAML)
    import_own(flags.values)
    config: Any = make(source)
    start = config.options.get("weights_backbone")
    if start is not None and not (flags.resume / LAST).is_file():
        # the folder may be untrusted, so it must not cause reads or downloads
        raise ValueError(
            f"{flags.resume} has no {LAST}: the run ended before its first checkpoint, and its initial weights "
            f"({terminal_text(start, limit=100)}) are not read again. Remove the folder and start the run again."
        )
    found: ConfigT = replace(config, **{name: value for name, value in flags.values.items() if name in FREE})
    return found
