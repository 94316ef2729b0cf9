"""The results of an ablation as JSON, CSV and Markdown, and the figure."""

from __future__ import annotations

import csv
import io
import logging
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vig_pyg._io.output import write_file
from vig_pyg._io.text import csv_text, error_text, json_text, markdown_code, markdown_text
from vig_pyg.classification.ablation.comparison import PERCENT, holm, interval, paired_test
from vig_pyg.classification.ablation.figure import draw_ablation
from vig_pyg.classification.ablation.folder import Run
from vig_pyg.classification.ablation.variant import Variant

_log = logging.getLogger(__name__)

FILES = ("results.json", "results.md", "results.csv", "plot.png")
READING = (
    "Top-1 is the validation accuracy of the saved weights: mean ± standard deviation over seeds, and the 95 % "
    "confidence interval of the mean (Student's t, cut at 0 and 100 %; one seed has none, and equal scores give one of "
    "width 0, because they show no spread). *Difference* compares each variant with the first row, seed by "
    "seed, in points, with its 95 % interval; *p* is the two-sided paired t-test, adjusted for the number of rows "
    "(Holm). "
    "A small p says that other seeds would probably agree, not that the difference is large; with three seeds only "
    "large differences can be seen. Images/s is the median speed of inference in float32 with the model as trained "
    "(not `fuse()`); the variants ran in turn in one process. MACs do not include selection, aggregation, and a search "
    "by `torch_cluster`."
)
MEMORY = "Peak memory is the increase during two training steps in a separate process."
GAP = (
    "The spectral gap is 1 minus the second largest absolute eigenvalue of the matrix of a random walk, which steps "
    "from a patch to each of its neighbors with equal probability; the table shows the mean over the layers and a few "
    "images of the trained network. A gap of 1 means that one step reaches every patch with equal probability "
    "(complete graph); 0 means that the walk stays in a part of the graph, or alternates between two parts."
)


def summary(
    variants: Sequence[Variant], runs: Mapping[str, Sequence[Run]], costs: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return one row of numbers for each variant with finished runs; the first is the baseline.

    Args:
        costs: `parameters`, `macs`, `images_per_second`, and perhaps `peak_mib`, of each variant.

    Example:
        >>> one = Variant("mr", "Max-Relative", lambda model, options: None)
        >>> cost = {"parameters": 1, "macs": 1, "images_per_second": 1.0}
        >>> runs = {"mr": [{"seed": 0, "top1": 90.0, "seconds": 1.0}, {"seed": 1, "top1": 92.0, "seconds": 1.0}]}
        >>> summary([one], runs, {"mr": cost})[0]["top1_mean"]
        91.0
    """
    shown = [variant for variant in variants if runs.get(variant.name)]
    baseline = _by_seed(runs[shown[0].name])
    tests = []
    for variant in shown:
        own = _by_seed(runs[variant.name])
        both = sorted(own.keys() & baseline.keys())
        tests.append(paired_test([own[s] for s in both], [baseline[s] for s in both], bounds=PERCENT))
    tested = [i for i, test in enumerate(tests) if i and test is not None]
    adjusted = dict(zip(tested, holm([t.p for i in tested if (t := tests[i])]), strict=True))
    rows = []
    for i, variant in enumerate(shown):
        found, test = runs[variant.name], tests[i] if i else None
        top1 = [run["top1"] for run in found]
        low, high = interval(top1, bounds=PERCENT) or (None, None)
        rows.append(
            {
                "variant": variant.name,
                "about": variant.about,
                "seeds": len(top1),
                "top1_mean": statistics.fmean(top1),
                "top1_std": statistics.stdev(top1) if len(top1) > 1 else None,
                "top1_low": low,
                "top1_high": high,
                "top1_all": " ".join(f"{value:.3f}" for value in top1),
                "difference": test and test.difference,
                "difference_low": test and test.low,
                "difference_high": test and test.high,
                "p": test and test.p,
                "p_holm": adjusted.get(i),
                **{key: costs[variant.name].get(key) for key in ("parameters", "macs", "images_per_second")},
                "peak_mib": costs[variant.name].get("peak_mib"),
                "spectral_gap": _mean([run.get("spectral_gap") for run in found]),
                "train_seconds": statistics.fmean(run["seconds"] for run in found),
            }
        )
    return rows


def _by_seed(runs: Sequence[Run]) -> dict[int, float]:
    return {run["seed"]: run["top1"] for run in runs}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def as_markdown(rows: Sequence[Mapping[str, Any]], facts: Sequence[str], title: str) -> str:
    """Return the table, an explanation of its columns, and the facts about its runs, as Markdown.

    Args:
        rows: The rows of `summary`.
        facts: Paragraphs about settings, command and time, in Markdown.
        title: The title.

    Example:
        >>> one = Variant("mr", "Max-Relative", lambda model, options: None)
        >>> runs = {"mr": [{"seed": 0, "top1": 90.0, "seconds": 1.0}]}
        >>> rows = summary([one], runs, {"mr": {"parameters": 1, "macs": 1, "images_per_second": 1.0}})
        >>> as_markdown(rows, [], "operators").splitlines()[0]
        '# operators'
    """
    cells = as_cells(rows)
    columns = list(cells[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in cells:
        shown = {**row, "variant": markdown_code(row["variant"]), "what": markdown_text(row.get("what", ""))}
        lines.append("| " + " | ".join(shown[name] for name in columns) + " |")
    reading = [READING] + [MEMORY] * ("peak memory, MiB" in columns) + [GAP] * ("spectral gap" in columns)
    return "\n\n".join([f"# {title}", "\n".join(lines), " ".join(reading), *facts, "![results](plot.png)"]) + "\n"


def as_cells(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return the cells of each row by the names of the columns, as plain text; columns without a value are left out.

    Example:
        >>> one = Variant("mr", "Max-Relative", lambda model, options: None)
        >>> runs = {"mr": [{"seed": 0, "top1": 90.0, "seconds": 1.0}]}
        >>> as_cells(summary([one], runs, {"mr": {"parameters": 1, "macs": 1, "images_per_second": 1.0}}))[0]["seeds"]
        '1'
    """
    cells = [_cells(row) for row in rows]
    columns = [name for name in cells[0] if any(row[name] for row in cells)]
    return [{name: row[name] for name in columns} for row in cells]


def _cells(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the cells of a row as text; a missing value is empty."""

    def number(key: str, form: str, scale: float = 1) -> str:
        return "" if row[key] is None else format(row[key] / scale, form)

    spread = "" if row["top1_std"] is None else f" ± {row['top1_std']:.2f}"
    known = row["top1_low"] is not None
    differs = row["difference"] is not None
    return {
        "variant": row["variant"],
        "what": row["about"],
        "top-1, %": f"{row['top1_mean']:.2f}{spread}",
        "95 % interval": f"{row['top1_low']:.2f} to {row['top1_high']:.2f}" if known else "",
        "seeds": str(row["seeds"]),
        "difference": f"{row['difference']:+.2f} ({row['difference_low']:+.2f} to {row['difference_high']:+.2f})"
        if differs
        else "",
        "p": "" if row["p_holm"] is None else "< 0.001" if row["p_holm"] < 1e-3 else f"{row['p_holm']:.3f}",
        "spectral gap": number("spectral_gap", ".3f"),
        "parameters, M": number("parameters", ".3f", 1e6),
        "MACs, M": number("macs", ".1f", 1e6),
        "images/s": number("images_per_second", ".0f"),
        "peak memory, MiB": number("peak_mib", ".0f"),
    }


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as CSV, in which no spreadsheet reads a name as a formula.

    Example:
        >>> as_csv([{"variant": "mr", "seeds": 3}]).split()
        ['variant,seeds', 'mr,3']
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(rows[0])
    writer.writerows([csv_text(value) if isinstance(value, str) else value for value in row.values()] for row in rows)
    return text.getvalue()


def write_results(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    runs: Mapping[str, Sequence[Run]],
    settings: Mapping[str, Any],
    *,
    facts: Sequence[str],
    title: str,
) -> list[Path]:
    """Write the numbers and then the figure; if the figure fails, a warning is logged, and the numbers are kept.

    Args:
        facts: Paragraphs for `as_markdown`.

    Returns:
        The files that exist.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> one = Variant("mr", "Max-Relative", lambda model, options: None)
        >>> runs = {"mr": [{"seed": 0, "top1": 90.0, "seconds": 1.0}]}
        >>> rows = summary([one], runs, {"mr": {"parameters": 1, "macs": 1, "images_per_second": 1.0}})
        >>> with TemporaryDirectory() as root:
        ...     [path.name for path in write_results(Path(root), rows, runs, {}, facts=[], title="operators")][:3]
        ['results.json', 'results.md', 'results.csv']
    """
    own = {row["variant"]: list(runs[row["variant"]]) for row in rows}
    content = {"settings": settings, "baseline": rows[0]["variant"], "rows": rows, "runs": own}
    write_file(out / "results.json", json_text(content) + "\n", overwrite=True)
    write_file(out / "results.csv", as_csv(rows), overwrite=True)
    write_file(out / "results.md", as_markdown(rows, facts, title), overwrite=True)
    scores = {name: [run["top1"] for run in found] for name, found in own.items()}
    try:
        write_file(out / "plot.png", draw_ablation(rows, scores, title).savefig, overwrite=True)
    except Exception as error:  # the same command draws again
        _log.warning("plot.png was not drawn (%s: %s).", type(error).__name__, error_text(error))
    return [out / name for name in FILES if (out / name).is_file()]
