import csv
import json
import re
import sys

import pytest
import yaml

from tests.cli.common import fails
from tests.images import make_folder
from tests.own_modules import OPERATOR
from vig_pyg.cli import main
from vig_pyg.cli.ablate import _few_seeds, _size, _tables
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS

pytestmark = pytest.mark.usefixtures("blank_pictures")

SMALL = ["--options.depth", "1", "--options.channels", "16", "--patch-size", "8", "--model", "vig_micro"]
QUICK = ["--epochs", "1", "--batch-size", "4", "--image-size", "32", "--num-workers", "0", *SMALL]
OWN = {
    "ablate_ops.py": """
import torch
from torch import nn

"""
    + OPERATOR,
    "ablate_graphs.py": '''
import torch

def own_ring(k, dilation):
    """Each patch receives a message from its predecessor."""
    return ring

def ring(x, layout, x_src, layout_src):
    index = torch.arange(layout.num_nodes)
    before = torch.where(index == layout.ptr[layout.batch], layout.ptr[layout.batch + 1] - 1, index - 1)
    return torch.stack([before, index])
''',
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with images and own code, which is the current folder."""
    make_folder(tmp_path / "images")
    for name, text in OWN.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = [(registry, list(registry)) for registry in (CONVS, GRAPHS)]
    yield tmp_path
    for registry, names in before:
        for name in [name for name in registry if name not in names]:
            registry.remove(name)
    for name in OWN:
        sys.modules.pop(name.removesuffix(".py"), None)


def test_own_operator_and_graph_on_own_images(place, capsys):
    command = ["ablate", "--data", "images", "--conv", "mr", "ablate_ops:OwnMean", *QUICK, "--out", "out"]
    assert main([*command, "--graph", "knn", "ablate_graphs:own_ring", "--seeds", "2"]) == 0
    captured = capsys.readouterr()
    assert (
        "\n2 seeds: the intervals are wide, because two runs hardly show their spread; use --seeds 5.\n" in captured.out
    )
    assert "Comparing 4 variants of vig_micro on images with 2 seeds, 1 epoch each. Folder: out" in captured.out
    own = "ablate_ops:OwnMean, ablate_graphs:own_ring"
    assert f"| `{own}` |" in (place / "out" / "results.md").read_text()
    lines = captured.out.splitlines()
    assert sum(line.startswith(f"{own}  ") for line in lines) == 2  # its scores and its costs
    assert not any("|" in line for line in lines) and "out/results.md explains the columns." in lines
    assert "out/results.json" in captured.out and "mr, knn, seed 1: " in captured.err
    rows = json.loads((place / "out" / "results.json").read_text())["rows"]
    assert len(rows) == 4 and all(row["seeds"] == 2 for row in rows)
    assert rows[0]["variant"] == "mr, knn" and rows[0]["p"] is None and rows[1]["p"] is not None
    ring = [row for row in rows if "own_ring" in row["variant"]]
    assert all(row["spectral_gap"] == pytest.approx(0, abs=1e-6) for row in ring)  # a directed ring
    assert len({row["parameters"] for row in rows}) == 2
    table = list(csv.DictReader((place / "out" / "results.csv").read_text().splitlines()))
    assert [row["variant"] for row in table] == [row["variant"] for row in rows]
    assert {path.name for path in (place / "out").iterdir()} == {
        "ablation.json", "costs.json", "plot.png", "results.csv", "results.json", "results.md", "runs"
    }  # fmt: skip


def test_the_same_command_goes_on_and_changed_code_is_refused(place, capsys):
    command = ["ablate", "--data", "images", "--conv", "ablate_ops:OwnMean", *QUICK, "--quiet"]
    assert main([*command, "--seeds", "1"]) == 0
    out = place / "runs" / "ablation-images"
    before = {path: path.stat().st_mtime_ns for path in (out / "runs").iterdir()}
    assert len(before) == 2  # with the model's own operator as the baseline
    assert main([*command, "--seeds", "2"]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(list((out / "runs").iterdir())) == 4
    capsys.readouterr()
    (place / "ablate_ops.py").write_text(OWN["ablate_ops.py"] + "\n")
    assert "another version of the code of ablate_ops:OwnMean" in fails(capsys, *command)
    assert "other settings (lr: " in fails(capsys, *command, "--lr", "0.5")


def test_mistakes_are_one_clear_line_and_leave_nothing(place, capsys):
    start = ["ablate", "--data", "images", *QUICK, "--out", place / "out"]
    cases = {
        "Unknown conv 'mrr'": ["--conv", "mr", "mrr"],
        "Unknown graph 'axe'": ["--graph", "axe"],
        "there is no module 'nowhere'": ["--conv", "nowhere:Conv"],
        "has no 'Missing'": ["--conv", "ablate_ops:Missing"],
        "--seeds must be at least 1, got 0": ["--conv", "mr", "--seeds", "0"],
        "Unknown flag '--seedz'": ["--conv", "mr", "--seedz", "2"],
        "power of two": ["--conv", "mr", "--patch-size", "3"],
        "Unknown model 'vig_huge'": ["--model", "vig_huge"],
        "does not exist": ["--data", "missing"],
    }
    for message, more in cases.items():
        assert message in fails(capsys, *start, *more)
    assert not (place / "out").exists()


def test_the_configuration_is_printed_and_read(place, capsys):
    flags = ["ablate", "--data", "images", "--conv", "mr", "gin", "--lr", "0.25", "--k", "5", "--print-config"]
    assert main(flags) == 0
    text = capsys.readouterr().out
    found = yaml.safe_load(text)
    assert (found["lr"], found["options"]["k"], found["model"]) == (0.25, 5, "pvig_micro")
    assert "conv" not in found["options"]
    (place / "a.yaml").write_text(text)
    assert main(["ablate", "--config", "a.yaml", "--print-config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out) == found


def test_several_processes_are_refused(place, capsys, monkeypatch):
    for key, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "2"}.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr("vig_pyg.engine.processes.processes", lambda: type("P", (), {"world": 2})())
    assert "trains in one process" in fails(capsys, "ablate", "--data", "images", *QUICK, "--conv", "gin")


def test_ctrl_c_keeps_finished_runs(place, capsys, monkeypatch):
    from vig_pyg.classification.ablation import training

    real = training.train_run

    def train(folder, variant, seed, *rest, **more):
        if seed == 1:
            raise KeyboardInterrupt
        return real(folder, variant, seed, *rest, **more)

    monkeypatch.setattr(training, "train_run", train)
    command = ["ablate", "--data", "images", "--conv", "mr", *QUICK, "--quiet", "--out", "out"]
    assert main([*command, "--seeds", "2"]) == 130
    assert "finished runs are kept; the same command continues the ablation" in capsys.readouterr().err
    assert [path.name for path in (place / "out" / "runs").iterdir()] == ["mr.seed0.json"]


@pytest.mark.parametrize("seeds", [1, 2, 3, 10])
def test_few_seeds_are_remarked(seeds):
    assert bool(_few_seeds(seeds)) == (seeds < 3)
    assert seeds > 1 or _few_seeds(seeds) == "\n1 seed: no intervals; use --seeds 5.\n"


@pytest.mark.parametrize(("variants", "seeds", "said"), [(1, 1, "1 run in all."), (1, 3, "3 runs"), (4, 5, "20 runs")])
def test_the_number_of_runs_is_said_and_that_one_variant_compares_nothing(variants, seeds, said):
    text = _size(variants, seeds)
    assert text.startswith(said) and ("nothing to compare" in text) == (variants == 1)


def test_the_tables_have_all_numbers_in_the_width_of_a_terminal():
    columns = {
        "what": "operator mr, graph knn" * 9, "top-1, %": "91.25 ± 1.25", "95 % interval": "88.00 to 94.00",
        "seeds": "10", "difference": "+10.00 (+8.00 to +12.00)", "p": "< 0.001", "spectral gap": "0.250",
        "parameters, M": "10.123", "MACs, M": "1234.5", "images/s": "1234", "peak memory, MiB": "12345",
    }  # fmt: skip
    for left_out in ([], ["difference", "p"], ["spectral gap", "peak memory, MiB"]):
        kept = {name: text for name, text in columns.items() if name not in left_out}
        cells = [{"variant": name, **kept} for name in ("mr, knn", "own:\x1bOp, own:\nring", "x" * 500)]
        lines = _tables(cells).split("\n")
        assert all(line.isprintable() for line in lines) and len(lines) == 2 * 4 + 1
        assert all(len(line) <= 60 + 80 for line in lines)  # a name has at most 60
        parts = [re.split(" {2,}", line) for line in lines]
        assert sorted(parts[0][1:] + parts[5][1:]) == sorted(kept.keys() - {"what"})
        for head, *rows in (parts[:4], parts[5:]):
            assert all(row[1:] == [kept[name] for name in head[1:]] for row in rows)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(2, 100.0, 100.0), (2, 50.0, 50.0)], "\n2 seeds: two runs with equal scores hardly show their spread; use"),
        ([(2, 100.0, 100.0), (2, 0.0, 100.0)], "\n2 seeds: the intervals are wide, because two runs hardly show"),
        ([(2, 99.999, 100.0), (3, 10.0, 90.0)], "\n2 seeds: two runs with equal scores hardly show their spread; use"),
        ([(1, None, None), (3, 10.0, 90.0)], "\n1 seed: no intervals; use --seeds 5.\n"),
        ([(3, 10.0, 90.0)], ""),
    ],
)
def test_few_seeds_are_told_as_the_intervals_are_shown(rows, words):
    names = ("seeds", "top1_low", "top1_high")
    told = _few_seeds(min(row[0] for row in rows), [dict(zip(names, row, strict=True)) for row in rows])
    assert told.startswith(words) and bool(told) == bool(words)
