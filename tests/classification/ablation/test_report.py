import csv
import io
import json

import pytest

from vig_pyg.classification.ablation import Variant, interval, paired_test, report
from vig_pyg.classification.ablation.report import as_csv, as_markdown, summary, write_results

NAMES = ["mr", "gin", "my:Op"]
SCORES = {"mr": [90.0, 91.0, 92.5], "gin": [88.0, 90.0, 90.0], "my:Op": [95.0, 96.5, 97.0]}


def variants(names=NAMES):
    return [Variant(name, f"what {name} is", lambda model, options: None) for name in names]


def runs(scores, **more):
    return {
        name: [{"variant": name, "seed": seed, "top1": top1, "seconds": 1.0, **more} for seed, top1 in enumerate(own)]
        for name, own in scores.items()
    }


def costs(names=NAMES):
    return {name: {"parameters": 10**6, "macs": 10**8, "images_per_second": 50.0} for name in names}


def test_numbers():
    base, gin, own = summary(variants(), runs(SCORES), costs())
    assert base["difference"] is base["p"] is base["p_holm"] is None
    for row in (base, gin, own):
        assert (row["top1_low"], row["top1_high"]) == interval(SCORES[row["variant"]])
    for row in (gin, own):
        test = paired_test(SCORES[row["variant"]], SCORES["mr"])
        assert (row["difference"], row["p"]) == (test.difference, test.p)
    assert max(gin["p_holm"], own["p_holm"]) >= max(gin["p"], own["p"])
    assert min(gin["p_holm"], own["p_holm"]) == pytest.approx(2 * min(gin["p"], own["p"]))


@pytest.mark.parametrize("shift", [0.0, 0.4, 50.0])
def test_no_accuracy_and_no_difference_is_impossible(shift):
    scores = {"mr": [98.0, 99.9, 100.0], "gin": [0.0 + shift, 0.1 + shift, 2.0 + shift], "my:Op": [100.0] * 3}
    rows = summary(variants(), runs(scores), costs())
    for row in rows:
        assert 0 <= row["top1_low"] <= row["top1_mean"] <= row["top1_high"] <= 100
    assert rows[0]["top1_high"] == 100 and (rows[2]["top1_low"], rows[2]["top1_high"]) == (100, 100)
    assert all(row["difference_low"] >= -100 and row["difference_high"] <= 100 for row in rows[1:])
    assert "cut at 0 and 100 %" in as_markdown(rows, [], "t") and "100.00 to 100.00" in as_markdown(rows, [], "t")


def test_only_common_seeds_are_compared():
    found = runs(SCORES)
    found["gin"] = [*found["gin"][1:], {"variant": "gin", "seed": 7, "top1": 10.0, "seconds": 1.0}]
    _, gin, _ = summary(variants(), found, costs())
    assert gin["seeds"] == 3 and gin["difference"] == paired_test([90.0, 90.0], [91.0, 92.5]).difference


def test_one_seed_and_variants_without_runs():
    found = runs({"gin": [90.0], "my:Op": [91.0]})
    first, second = summary(variants(), found, costs())
    assert first["variant"] == "gin" and first["top1_low"] is None and second["p"] is second["difference"] is None
    table = as_markdown([first, second], ["Settings."], "title")
    assert "difference |" not in table and "| 90.00 |" in table and "spectral gap" not in table


def test_markdown_and_csv_agree():
    rows = summary(variants(), runs(SCORES, spectral_gap=0.25), costs())
    table = as_markdown(rows, ["Settings: none."], "vig_micro on `x|y`")
    lines = [line for line in table.splitlines() if line.startswith("|")]
    assert len(lines) == 5 and len({line.count("|") - line.count("\\|") for line in lines}) == 1
    assert "| `my:Op` |" in lines[-1] and "| 0.250 |" in lines[-1] and "The spectral gap is" in table
    parsed = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["variant"] for row in parsed] == NAMES
    assert float(parsed[1]["p_holm"]) == rows[1]["p_holm"] and parsed[0]["p"] == ""


def test_numbers_are_written_before_the_figure(tmp_path, monkeypatch, caplog):
    rows, found = summary(variants(), runs(SCORES), costs()), runs(SCORES)

    def fail(*_):
        assert {path.name for path in tmp_path.iterdir()} == {"results.json", "results.md", "results.csv"}
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(report, "draw_ablation", fail)
        files = write_results(tmp_path, rows, found, {"epochs": 1}, facts=["Facts."], title="t")
    assert len(files) == 3 and "plot.png was not drawn (MemoryError" in caplog.text
    assert len(write_results(tmp_path, rows, found, {"epochs": 1}, facts=["Facts."], title="t")) == 4
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["baseline"] == "mr" and content["settings"] == {"epochs": 1}
    assert content["rows"] == json.loads(json.dumps(rows)) and content["runs"] == found
