"""Flags shared by the training commands that are not part of the configuration, and the resuming of runs."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.signals import Terminated
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import in_shell, say_note
from vig_pyg.cli._own_code import refuse_network_of_python, refuse_unnamed_code

if TYPE_CHECKING:
    from vig_pyg.engine.config_parser import ConfigParser

#: Values that may change when a run is resumed, because they affect only its speed or when it is evaluated.
FREE = ("num_workers", "evaluate_every")
#: Values that say how long a run is.
LENGTH = ("epochs", "steps")
#: Options that can name code; code is imported only if the user names it.
CODE = ("options.conv", "options.graph")
#: The value that can cause a download; it is only downloaded if the user names it.
DATA = "data"
#: Values that may be repeated when a run is resumed, unchanged.
REPEATED = (DATA, "teacher")


def _about_conv() -> str:
    from vig_pyg.conv import list_convs

    return (
        f"operator of the graph convolution: {', '.join(list_convs())}, or the import path of your own operator, such "
        "as my_ops:MyConv"
    )


def _about_graph() -> str:
    from vig_pyg.graph import list_graphs

    return (
        f"graph builder, which chooses the neighbors: {', '.join(list_graphs())}, or the import path of your own, such "
        "as my_graphs:Ring; or a list with one for each stage, such as [axial, axial, window, knn]"
    )


#: Short flags for options that every network has, and their help texts; the functions import the networks.
NETWORK_FLAGS: dict[str, str | Callable[[], str]] = {
    "conv": _about_conv,
    "graph": _about_graph,
    "k": "number of neighbors of each patch, or two numbers for the first and the last block such as [9, 18]",
    "patch_size": "side of a patch in pixels, a power of two",
}


def network_options() -> set[str]:
    """Return the names of the options of all networks, except those that the images determine."""
    from dataclasses import fields

    from vig_pyg.config import MODELS

    names = {field.name for config in MODELS.values() for field in fields(config)}
    return names - {"num_classes", "in_channels", "image_size"}


_RUN = ("preset", "config", "print_config", "out", "resume", "quiet")


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """The parsed command line of a training command.

    Args:
        values: Values of the configuration that are set on the command line.
        command: The command, such as `"detect train"`.
    """

    values: dict[str, Any]
    config: Path | None = None
    preset: str | None = None
    out: Path | None = None
    resume: Path | None = None
    print_config: bool = False
    quiet: bool = False
    command: str = "train"

    def file_values(self) -> tuple[str, dict[str, Any]]:
        """Return the name and the values of the file of `--config`."""
        from vig_pyg._io.bounded_yaml import read_yaml

        return str(self.config), {} if self.config is None else read_yaml(self.config)

    def resumed_values(self, name: str) -> tuple[str, dict[str, Any]]:
        """Return the name of the configuration file of the run to resume, and its values.

        Raises:
            FileNotFoundError: If the run does not exist.
            ValueError: If the command line contradicts values of the run, or does not name code that the run needs.
        """
        from vig_pyg._io.bounded_yaml import read_yaml

        assert self.resume is not None
        other = [key for key in self.values if key not in (*FREE, *CODE, *REPEATED)]
        other += [key for key in ("preset", "config", "out") if getattr(self, key) is not None]
        if other:
            short = other[0].removeprefix("options.")
            flag = (short if short in NETWORK_FLAGS else other[0]).replace("_", "-")
            told = f"--resume keeps all values of the run: leave out --{flag}."
            length = {key: value for key, value in self.values.items() if key in LENGTH}
            if length and (self.resume / name).is_file():
                told += f" {_longer(self.resume, self.command, length)}"
            raise ValueError(told)
        path = self.resume / name
        if not path.is_file():
            is_file = self.resume.is_file()
            why = ": it is a file" if is_file else f": the folder has no {name}" if self.resume.is_dir() else ""
            is_of_run = is_file and any((self.resume.parent / one).is_file() for one in (name, "config.json"))
            hint = f" Pass its folder, {self.resume.parent}." if is_of_run else did_you_mean(self.resume)
            raise FileNotFoundError(f"There is no run to resume at {self.resume}{why}.{hint}")
        values = read_yaml(path)
        for key in REPEATED:
            if self.values.get(key, values.get(key)) != values.get(key):
                raise ValueError(f"--resume keeps all values of the run: {path} has another --{key}.")
        options = values.get("options")
        refuse_network_of_python(self.resume, options)
        for key in CODE:
            own = options.get(key.removeprefix("options.")) if isinstance(options, dict) else None
            given = self.values.get(key, own)
            flag = f"--{key.removeprefix('options.')}"
            if given != own:
                raise ValueError(f"--resume keeps all values of the run: {path} has another {flag}.")
            refuse_unnamed_code(path, key.removeprefix("options."), own, self.values)
        return str(path), {**values, **{key: self.values[key] for key in FREE if key in self.values}}


def add_run_flags(
    parser: ConfigParser, *, out: str, presets: Sequence[str] = (), default: str = "", resumes: bool = True
) -> None:
    """Add the flags that are not part of the configuration.

    Args:
        default: Which preset is used if none is named, for the help.
    """
    group = parser.run_flags
    if presets:
        group.add_argument("--preset", help=f"values to start from: {', '.join(presets)} (default: {default})")
    group.add_argument("--config", metavar="FILE",
                       help=f"YAML file of values; {'they override the preset, and ' if presets else ''}flags override "
                       "them")  # fmt: skip
    group.add_argument("--print_config", action="store_true", help="print all values as YAML for --config, and exit")
    group.add_argument("--out", metavar="FOLDER", help=out)
    if resumes:
        group.add_argument("--resume", metavar="RUN", help="continue the stopped or killed run in this folder "
                           "with all its values; only --num-workers and --evaluate-every may differ")  # fmt: skip
    group.add_argument("--quiet", action="store_true", help="show no progress")


def read_flags(parser: ConfigParser, argv: Sequence[str]) -> TrainFlags:
    """Parse the command line of a training command."""
    found = parser.parse_flags(argv)
    given: dict[str, Any] = {name: found.pop(name) for name in _RUN if name in found}
    paths = {name: Path(given[name]) for name in ("config", "out", "resume") if given.get(name) is not None}
    return TrainFlags(**{**given, **paths}, values=found, command=parser.prog.removeprefix("vig-pyg "))


def announce(config: Any, data: Any, network: str, out: Path, *, resumed: bool) -> None:
    """Print what is trained, before a detector or a segmentation network is trained."""
    from vig_pyg._io.numbers import counted

    print(
        f"{'Resuming' if resumed else 'Training'} {network} with {config.model} on {terminal_text(data.title)}: "
        f"{counted(len(data.train_set), 'images')}, {len(data.val_set):,} for validation, "
        f"{counted(len(data.class_names), 'classes')}, {length_of(config, data)}. "
        f"Run folder: {terminal_text(out)}",
        flush=True,
    )


def length_of(config: Any, data: Any) -> str:
    """Return how long a run is, in epochs and their steps."""
    from vig_pyg._io.numbers import counted

    each = data.steps_per_epoch
    asked = getattr(config, "steps", None)
    more = f" (whole epochs with at least {counted(asked, 'steps')})" if asked and asked != config.epochs * each else ""
    return f"{counted(config.epochs, 'epochs')} of {counted(each, 'steps')}{more}"


def is_complete(out: Path, config: Any) -> bool:
    """True if nothing of a run is left to do; the model card is the last file that a run writes."""
    from vig_pyg.artifact import CARD
    from vig_pyg.engine.run import finished_epochs

    return finished_epochs(out, config) > 0 and (out / CARD).is_file()


def say_complete(out: Path, config: Any, command: str, **changes: object) -> bool:
    """Print that a run to resume is complete, if it is, and a command that trains longer; return whether it is.

    Args:
        changes: Values that make the new run longer, if it starts from the beginning.
    """
    from vig_pyg._io.numbers import counted
    from vig_pyg.engine.run import finished_epochs

    epochs = finished_epochs(out, config)
    if epochs:
        print(
            f"The run is complete ({counted(epochs, 'epochs')}), so nothing is trained. "
            f"{_longer(out, command, changes)}",
            flush=True,
        )
        if command == "train":
            print(
                f"The new run starts again at --lr {config.lr:g} and goes through the whole schedule; with --lr "
                f"{config.lr / 10:g}, the weights change only slightly. For a longer schedule, train from the "
                "beginning, without --weights."
            )
    return epochs > 0


def _longer(out: Path, command: str, changes: Mapping[str, object]) -> str:
    """Return the command that trains longer than a run: a classifier from its weights, others from the beginning."""
    from vig_pyg.artifact import WEIGHTS
    from vig_pyg.engine.run import CONFIG_YAML

    start = {"weights": out / WEIGHTS} if command == "train" and (out / WEIGHTS).is_file() else {}
    flags = [word for name, value in {**start, **changes}.items() for word in (f"--{name}", value)]
    again = in_shell("vig-pyg", *command.split(), "--config", out / CONFIG_YAML, *flags, "--out", "NEW")
    what = "To continue from its weights" if start else "To train longer, from the beginning"
    return f"{what}, start a new run: {again}"


def note_on_steps(data: Any, epochs: int) -> None:
    """Print a note if an epoch has few optimizer steps, and all epochs together too, so that little is learned."""
    from vig_pyg._io.numbers import counted

    count, each = len(data.train_set), data.steps_per_epoch
    smaller = 2 ** max(1, (count // 8).bit_length() - 1)  # a power of 2 that makes about 8 to 16 steps
    if each < 8 and each * epochs < 100 and (each == 1 or smaller < data.batch_size):
        say_note(
            f"an epoch has only {counted(each, 'training steps')}, because there are "
            f"{counted(count, 'training images')} and the batch size is {data.batch_size}"
            + (f": try --batch-size {smaller}" if smaller < data.batch_size else "")
        )


def print_scores(row: Mapping[str, float], data: Any, out: Path) -> None:
    """Print the scores of a trained detector or segmentation network, and the files of its run folder."""
    from vig_pyg._io.numbers import few_images
    from vig_pyg.cli._tables import file_list, scores_table

    scores = {name.removeprefix("val_"): score for name, score in row.items() if name.startswith("val_")}
    print(f"\n{scores_table(scores)}")
    if few := few_images(len(data.val_set), shares=False):
        print(f"(only {few})")
    print(file_list(sorted(out.iterdir())))


def stopped(stop: BaseException, out: Path, command: str, options: Mapping[str, Any], *, first: bool) -> int:
    """Print how to resume a stopped run, and return the exit status; without a checkpoint, raise `Terminated`."""
    from vig_pyg._own_flags import own_flags
    from vig_pyg.engine.checkpoint import LAST

    signum = getattr(stop, "signum", signal.SIGINT)
    if first:
        if not (out / LAST).exists():
            raise Terminated(signum) from stop
        again = in_shell("vig-pyg", *command.split(), "--resume", out, *own_flags(options))
        print(f"vig-pyg: stopped; resume with: {again}", file=sys.stderr)
    return 128 + signum
