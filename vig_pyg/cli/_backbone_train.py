"""What training a detector and a segmentation network from the command line have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import in_shell, say_next
from vig_pyg.cli._own_code import import_named, import_own
from vig_pyg.cli._train_flags import FREE, TrainFlags, announce, note_on_steps, print_scores, say_complete, stopped

if TYPE_CHECKING:
    from torch import nn

    from vig_pyg.engine import TrainConfig, TrainData

ConfigT = TypeVar("ConfigT", bound="TrainConfig")


@dataclass(frozen=True)
class Prepared:
    """What a task has loaded for a run.

    Args:
        data: The images.
        model: The network.
        config: The configuration of the run, with its final number of epochs.
        name: Name of the network, for the first line.
        longer: Flags that make a run longer, with their values for a hint.
    """

    data: TrainData
    model: nn.Module
    config: Any
    name: str
    longer: dict[str, str]


def fit_and_report(config: Any, flags: TrainFlags, task: str, prepare: Callable[[], Prepared]) -> int:
    """Train a network on a backbone, and print what was written.

    Args:
        config: The configuration, whose options may name weights of the backbone.
        flags: The flags of the run.
        task: `"detect"` or `"segment"`.
        prepare: Function that loads the data and makes the network.

    Returns:
        0, or 128 + the number of the signal that stopped the run.
    """
    from vig_pyg._own_flags import own_flags
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
    if not resume:
        check_weights(config.options.get("weights_backbone"))
    try:
        run = prepare()
        if first:
            announce(run.config, run.data, run.name, out, resumed=resume)
            if not resume:
                note_on_steps(run.data)
            else:
                say_complete(out, run.config, command, **run.longer)
        last = fit(run.model, run.data, run.config, out, progress=not flags.quiet, resume=resume)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        return stopped(stop, out, command, config.options, first=first)
    if first:
        print_scores(last, run.data, out)
        say_next(in_shell("vig-pyg", task, "predict", out, "IMAGES", *own_flags(config.options)))
    return 0


def config_of_run(flags: TrainFlags, make: Callable[..., ConfigT]) -> ConfigT:
    """Return the configuration from file and flags, or the configuration of a run to resume.

    Args:
        flags: The flags of the run.
        make: Function that makes the configuration from named mappings of values.

    Raises:
        ValueError: If a run to resume would have to read its initial weights again.
    """
    if flags.resume is None:
        where, values = flags.file_values()
        import_named(where, values, flags.values)
        return make((where, values), ("the command line", flags.values))
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
