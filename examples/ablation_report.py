"""The results of an ablation as Markdown, CSV and a plot."""

from __future__ import annotations

import csv
import io
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablation import Variant
from benchmarks.harness import environment, table

from vig_pyg._figure import figure
from vig_pyg._io.output import write_file
from vig_pyg._io.text import error_text, plot_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READING = (
    "Top-1 is held-out accuracy after the last epoch, mean ± standard deviation over seeds: a difference that is not "
    "clearly larger than these deviations may be chance. Images/s: inference, float32, the model as trained (not "
    "`fuse()`), all variants in turn in one process, median. Memory: two training steps in a process of its own, above "
    "that of the process before. MACs leave out selection and aggregation, and a search by `torch_cluster`."
)


def summary(variants: list[Variant], runs: dict[str, list[dict[str, Any]]], costs: dict[str, Any]) -> list[dict]:
    """One row of numbers for each variant."""
    rows = []
    for variant in variants:
        top1 = [run["top1"] for run in runs[variant.name]]
        rows.append(
            {
                "variant": variant.name,
                "about": variant.about,
                "seeds": len(top1),
                "top1_mean": statistics.fmean(top1),
                "top1_std": statistics.stdev(top1) if len(top1) > 1 else None,
                "top1_all": " ".join(f"{value:.3f}" for value in top1),
                "parameters": costs[variant.name]["parameters"],
                "macs": costs[variant.name]["macs"],
                "images_per_second": costs[variant.name]["images_per_second"],
                "peak_mib": costs[variant.name].get("peak_mib"),
                "train_seconds": statistics.fmean(run["seconds"] for run in runs[variant.name]),
            }
        )
    return rows


def markdown(rows: list[dict], settings: dict[str, Any], runs: dict[str, list[dict[str, Any]]], seconds: float) -> str:
    """The table with all that made it."""
    shown = [
        {
            "variant": f"`{row['variant']}`",
            "what": row["about"],
            "top-1, %": f"{row['top1_mean']:.2f}"
            + (f" ± {row['top1_std']:.2f}" if row["top1_std"] is not None else ""),
            "seeds": row["seeds"],
            "parameters, M": f"{row['parameters'] / 1e6:.3f}",
            "MACs, M": f"{row['macs'] / 1e6:.1f}",
            "images/s": f"{row['images_per_second']:.0f}",
            "peak memory, MiB": "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}",
        }
        for row in rows
    ]
    env, every = environment(), [run for name in runs for run in runs[name]]
    commits = sorted({run["environment"]["commit"] for run in every})
    trained = sum(run["seconds"] for run in every)
    told = {**settings, "data": Path(settings["data"]).name}
    facts = ", ".join(f"{key} {value}" for key, value in told.items() if value is not None)
    lines = [
        f"# {settings['ablation']}",
        table(shown),
        READING,
        f"Settings: {facts}.",
        f"Command: `{env['command']}`. Commit: {', '.join(commits)}. {env['date']}, {env['processor']}, "
        f"{env['threads']} threads, torch {env['torch']}, torch_geometric {env['torch_geometric']}.",
        f"Time: {trained / 60:.1f} min of training in {len(every)} runs; {seconds / 60:.1f} min for the last command.",
        "![results](plot.png)",
    ]
    return "\n\n".join(lines) + "\n"


def draw(rows: list[dict], runs: dict[str, list[dict[str, Any]]], title: str) -> Figure:
    """Accuracy of every seed, with mean and deviation, beside speed."""
    fig = figure(9, 1.4 + 0.34 * len(rows))
    left, right = fig.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    for y, row in enumerate(rows):
        top1 = [run["top1"] for run in runs[row["variant"]]]
        left.plot(top1, [y] * len(top1), "o", color="C0", alpha=0.35, markersize=5)
        left.errorbar(row["top1_mean"], y, xerr=row["top1_std"], fmt="|", color="C0", markersize=12, capsize=4)
    left.axvline(rows[0]["top1_mean"], color="gray", linewidth=0.8, linestyle="--")
    right.barh(range(len(rows)), [row["images_per_second"] for row in rows], color="C1", height=0.6)
    left.set_yticks(range(len(rows)), [plot_text(row["variant"]) for row in rows])
    left.invert_yaxis()
    left.set(xlabel="held-out top-1, %: seeds, mean ± standard deviation", title=plot_text(title))
    right.set(xlabel="images/s, inference")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return fig


def report(
    out: Path,
    variants: list[Variant],
    runs: dict[str, list[dict[str, Any]]],
    costs: dict[str, Any],
    settings: dict[str, Any],
    *,
    seconds: float,
) -> None:
    """Write `results.csv`, `results.md` and `plot.png`; print the table. A plot that fails is a warning."""
    rows = summary(variants, runs, costs)
    text, table_text = io.StringIO(newline=""), markdown(rows, settings, runs_of(rows, runs), seconds)
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    write_file(out / "results.csv", text.getvalue(), overwrite=True)
    write_file(out / "results.md", table_text, overwrite=True)
    print(table_text)
    try:
        write_file(out / "plot.png", draw(rows, runs, settings["ablation"]).savefig, overwrite=True)
    except Exception as error:  # the numbers are safe, and the same command draws again
        print(f"plot.png was not drawn ({type(error).__name__}: {error_text(error)}).", file=sys.stderr)
    for name in ("results.md", "results.csv", "plot.png"):
        if (out / name).is_file():
            print(out / name)


def runs_of(rows: list[dict], runs: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """The runs of the variants in the table."""
    return {row["variant"]: runs[row["variant"]] for row in rows}
