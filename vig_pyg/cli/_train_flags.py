"""Flags of the commands that train which are not part of the configuration, and how a run goes on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.signals import Terminated
from vig_pyg._io.text import terminal_text

if TYPE_CHECKING:
    from vig_pyg.engine.config_parser import ConfigParser

#: Values that may differ when a run goes on: they change how fast it is, or when it is evaluated.
FREE = ("num_workers", "evaluate_every")
#: Options that can name code; it is imported only if the user names it.
CODE = ("options.conv", "options.graph")


def network_flags() -> dict[str, str]:
    """Short names of options that every network has, with their help."""
    from vig_pyg.conv import list_convs
    from vig_pyg.graph import list_graphs

    return {
        "conv": f"operator of the graph convolution: {', '.join(list_convs())}, or one of your own as an import path "
        "such as my_ops:MyConv",
        "graph": f"how neighbors are chosen: {', '.join(list_graphs())}, or an import path such as my_graphs:Ring",
        "k": "number of neighbors of each patch, or two numbers for the first and the last block such as [9, 18]",
        "patch_size": "side of a patch in pixels, a power of two",
    }


_RUN = ("preset", "config", "print_config", "out", "resume", "quiet")


@dataclass(frozen=True, kw_only=True)
class TrainFlags:
    """A command line that trains.

    Args:
        values: Values of the configuration that were given.
        config: A file of values.
        preset: Name of a preset.
        out: The new run folder.
        resume: The run folder of a run that goes on.
        print_config: Print the configuration and stop.
        quiet: Show no progress.
    """

    values: dict[str, Any]
    config: Path | None = None
    preset: str | None = None
    out: Path | None = None
    resume: Path | None = None
    print_config: bool = False
    quiet: bool = False

    def file_values(self) -> tuple[str, dict[str, Any]]:
        """Read the values of the file of `--config`, with its name."""
        from vig_pyg._io.bounded_yaml import read_yaml

        return str(self.config), {} if self.config is None else read_yaml(self.config)

    def resumed_values(self, name: str) -> tuple[str, dict[str, Any]]:
        """Read the values of the run that goes on, with the name of their file.

        Args:
            name: Name of the file in the run folder.

        Raises:
            FileNotFoundError: If there is no such run.
            ValueError: If other values are given, or the run needs code that the command line does not name.
        """
        from vig_pyg._io.bounded_yaml import read_yaml
        from vig_pyg._registry import is_import_path

        assert self.resume is not None
        other = [key for key in self.values if key not in (*FREE, *CODE)]
        other += [key for key in ("preset", "config", "out") if getattr(self, key) is not None]
        if other:
            short = other[0].removeprefix("options.")
            flag = (short if short in network_flags() else other[0]).replace("_", "-")
            raise ValueError(f"--resume keeps all values of the run: leave out --{flag}.")
        path = self.resume / name
        if not path.is_file():
            raise FileNotFoundError(f"There is no run to resume at {self.resume}: it has no {name}.")
        values = read_yaml(path)
        options = values.get("options")
        for key in CODE:
            own = options.get(key.removeprefix("options.")) if isinstance(options, dict) else None
            given = self.values.get(key, own)
            flag = f"--{key.removeprefix('options.')}"
            if given != own:
                raise ValueError(f"--resume keeps all values of the run: {path} has another {flag}.")
            if isinstance(own, str) and is_import_path(own) and key not in self.values:
                raise ValueError(f"{path} names the code {own}: give {flag} {own} too if you trust it.")
        return str(path), {**values, **{key: self.values[key] for key in FREE if key in self.values}}


def add_run_flags(parser: ConfigParser, *, out: str, presets: Sequence[str] = ()) -> None:
    """The flags that are not part of the configuration.

    Args:
        parser: The parser.
        out: Help of `--out`.
        presets: Names of presets, if there are some.
    """
    group = parser.run_flags
    if presets:
        group.add_argument("--preset", help=f"values to start from: {', '.join(presets)} (default: digits without "
                           "--data, finetune with --weights, else scratch)")  # fmt: skip
    group.add_argument("--config", metavar="FILE", help="YAML file of values; flags win over it, it wins over presets")
    group.add_argument("--print_config", action="store_true", help="print all values as YAML for --config, and stop")
    group.add_argument("--out", metavar="FOLDER", help=out)
    group.add_argument("--resume", metavar="RUN", help="run folder of a run that was stopped or killed: continue it "
                       "with all its values; only --num-workers and --evaluate-every may differ")  # fmt: skip
    group.add_argument("--quiet", action="store_true", help="show no progress")


def read_flags(parser: ConfigParser, argv: Sequence[str]) -> TrainFlags:
    """Read the flags of a command line.

    Args:
        parser: The parser, with the flags of `add_run_flags`.
        argv: The arguments.

    Raises:
        ValueError: If a flag or a value is wrong.
    """
    found = parser.parse_flags(argv)
    given: dict[str, Any] = {name: found.pop(name) for name in _RUN if name in found}
    paths = {name: Path(given[name]) for name in ("config", "out", "resume") if given.get(name) is not None}
    return TrainFlags(**{**given, **paths}, values=found)


def stopped(stop: BaseException, out: Path, command: str, *, first: bool) -> int:
    """Print how a stopped run goes on, and return the exit status; `Terminated` is raised if it left no checkpoint."""
    from vig_pyg.engine.checkpoint import LAST

    signum = getattr(stop, "signum", signal.SIGINT)
    if first:
        if not (out / LAST).exists():
            raise Terminated(signum) from stop
        print(f"vig-pyg: stopped; vig-pyg {command} --resume {terminal_text(out)} goes on", file=sys.stderr)
    return 128 + signum
