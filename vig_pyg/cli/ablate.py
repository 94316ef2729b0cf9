"""`vig-pyg ablate`: operators and graphs compared over seeds, with intervals and paired tests."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vig_pyg._io.launcher import launcher
from vig_pyg._io.numbers import counted
from vig_pyg._io.text import terminal_text
from vig_pyg.cli._options import note_on_built_in, say_next
from vig_pyg.cli._own_code import import_own
from vig_pyg.cli._tables import file_list, table
from vig_pyg.cli._train_flags import NETWORK_FLAGS, add_run_flags, read_flags
from vig_pyg.cli.train import DEFAULT, classification_parser, config_of

if TYPE_CHECKING:
    from vig_pyg.classification import ClassificationConfig
    from vig_pyg.engine.config_parser import ConfigParser

#: The columns of the first of the two tables.
_SCORES = ("top-1, %", "95 % interval", "seeds", "difference", "p")
ABOUT = "compare operators and graphs over seeds, on built-in digits or on --data"
EXAMPLES = {
    "vig-pyg ablate --conv mr edge gin": "three operators on built-in digits",
    "vig-pyg ablate --data photos --graph knn window --seeds 5": "two graphs on your own images",
    "vig-pyg ablate --conv mr my_ops:MyConv": "your own operator, the class MyConv in my_ops.py",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; its flags are created when it runs."""
    commands.add_parser("ablate", help=ABOUT, raw=True).set_defaults(run=run, make_parser=make_parser)


def make_parser() -> ConfigParser:
    """Create the parser, with the flags of `vig-pyg train`, but with lists of operators and graphs.

    Example:
        >>> make_parser().parse_flags(["--conv", "mr", "gin", "--seeds", "5"])
        {'conv': ['mr', 'gin'], 'seeds': 5}
    """
    from vig_pyg.classification.presets import PRESETS

    lists = {key: text for key, text in NETWORK_FLAGS.items() if key in ("conv", "graph")}
    about = (
        f"{ABOUT.capitalize()}. Every pair of an operator and a graph is trained with every seed; the first pair is "
        "the baseline. A single operator or graph is compared with that of the model. The same command continues a "
        "stopped ablation, and may have more operators, graphs or seeds."
    )
    parser = classification_parser(
        "ablate", about, EXAMPLES, {k: v for k, v in NETWORK_FLAGS.items() if k not in lists}
    )
    for key, text in lists.items():
        flag = parser.run_flags.add_argument(f"--{key}", nargs="+", metavar="NAME")
        parser.explain(flag, partial(_one_or_more, text))
    text = "number of runs of each pair (default: 3)"
    parser.run_flags.add_argument("--seeds", type=int, metavar="NUMBER", help=text)
    out = "folder of the ablation, new or to be continued (default: runs/ablation-NAME of the data)"
    add_run_flags(parser, out=out, presets=list(PRESETS), default=DEFAULT, resumes=False)
    return parser


def _one_or_more(text: str | Callable[[], str]) -> str:
    return f"one or more values; each is the {text() if callable(text) else text}"


def run(args: argparse.Namespace) -> int:
    """Train what is missing, and print the table.

    Returns:
        0, or 128 + the number of the signal that stopped the ablation.
    """
    from vig_pyg._requirements import require_training

    require_training()
    from vig_pyg._io.bounded_yaml import parse_yaml
    from vig_pyg.classification import to_yaml

    flags = read_flags(make_parser(), args.argv)
    lists: dict[str, list[Any]] = {key: flags.values.pop(key, []) for key in ("conv", "graph")}
    lists["graph"] = [parse_yaml(one, where="--graph") if one.startswith("[") else one for one in lists["graph"]]
    seeds: int = flags.values.pop("seeds", 3)
    for key, names in lists.items():
        for name in names:
            import_own({"options": {key: name}})
    where, values = flags.file_values()
    config = config_of(flags.preset, where, _without(values, [key for key in lists if lists[key]]), flags.values)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    from vig_pyg.engine import TrainingInterrupted

    try:
        return _ablate(config, lists, seeds, args.argv, out=flags.out, quiet=flags.quiet)
    except (TrainingInterrupted, KeyboardInterrupt) as stop:
        print("vig-pyg: stopped; finished runs are kept; the same command continues the ablation", file=sys.stderr)
        return 128 + getattr(stop, "signum", 2)


def _without(values: Mapping[str, Any], replaced: Sequence[str]) -> dict[str, Any]:
    """Return the values of a file without the operator or the graph that flags replace, whose code is not needed."""
    kept = {name: value for name, value in values.items() if name.removeprefix("options.") not in replaced}
    if isinstance(options := kept.get("options"), Mapping):
        kept["options"] = {name: value for name, value in options.items() if name not in replaced}
    return kept


def _ablate(
    config: ClassificationConfig, lists: Mapping[str, Sequence[Any]], seeds: int, argv: Sequence[str], *,
    out: Path | None, quiet: bool,
) -> int:  # fmt: skip
    from vig_pyg.classification import load_data, make_model
    from vig_pyg.classification.ablation import ablate, crossed, spectral_gaps
    from vig_pyg.classification.ablation.environment import environment
    from vig_pyg.classification.ablation.report import as_cells
    from vig_pyg.engine.processes import processes
    from vig_pyg.weights import check_exists

    if processes().world > 1:
        raise ValueError("An ablation trains in one process: start it without a launcher such as torchrun.")
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}.")
    for source in (config.weights, config.teacher_weights):
        check_exists(source)
    note_on_built_in(config.data)
    variants = crossed(config.model, config.options, lists["conv"], lists["graph"])
    data = load_data(config)
    make_model(config.model, {**config.options, "drop_path_rate": config.drop_path_rate}, data, seed=config.seed)
    out = out or Path("runs") / f"ablation-{Path(data.title).name or 'data'}"
    what = f"Comparing {len(variants)} variants" if len(variants) > 1 else "Training the only variant"
    print(
        f"{what} of {config.model} on {terminal_text(data.title)} with {counted(seeds, 'seeds')}, "
        f"{counted(config.epochs, 'epochs each')}. Folder: {terminal_text(out)}",
        flush=True,
    )
    print(_size(len(variants), seeds), flush=True)
    rows, files = ablate(
        variants, data, config, out, seeds=seeds, title=f"{config.model} on {data.title}",
        here=environment([*shlex.split(launcher()), "ablate", *argv]), measure=spectral_gaps, progress=not quiet,
    )  # fmt: skip
    print(f"\n{_tables(as_cells(rows))}\n{_few_seeds(min(row['seeds'] for row in rows), rows)}")
    print(f"{terminal_text(out / 'results.md')} explains the columns.")
    print(file_list(files))
    say_next(f"the same command with --seeds {seeds + 2} adds two seeds, and with more names it adds variants")
    return 0


def _tables(cells: Sequence[Mapping[str, str]]) -> str:
    """Return the scores and, below them, the costs of the variants; one table would be wider than a terminal."""
    parts: list[list[str]] = [["variant"], ["variant"]]
    for name in cells[0]:
        if name not in ("variant", "what"):  # the second repeats the name in other words
            parts[name not in _SCORES].append(name)
    return "\n\n".join(table(names, [[row[name] for name in names] for row in cells]) for names in parts)


def _few_seeds(seeds: int, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """Return a remark if there are so few seeds that intervals say little, otherwise `""`."""
    if seeds > 2:
        return ""
    # as shown, with two decimals; runs with equal scores have an interval of one point
    wide = not rows or any(f"{row['top1_low']:.2f}" != f"{row['top1_high']:.2f}" for row in rows if row["seeds"] == 2)
    what = "the intervals are wide, because two runs" if wide else "two runs with equal scores"
    what = f"{what} hardly show their spread" if seeds == 2 else "no intervals"
    return f"\n{counted(seeds, 'seeds')}: {what}; use --seeds 5.\n"


def _size(variants: int, seeds: int) -> str:
    """Return the number of runs, and for a single variant how to name a second one to compare it with."""
    runs = f"{counted(variants * seeds, 'runs')} in all."
    if variants > 1:
        return runs
    return f"{runs} There is nothing to compare: name a second operator or graph, such as --conv mr edge."
