import csv
import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vig_pyg.block import Block
from vig_pyg.classification.ablation import report, training
from vig_pyg.testing import assert_operator, assert_parameters_get_gradients

EXAMPLES = Path(__file__).parents[2] / "examples"
SCRIPTS = ["ablate_operators", "ablate_graph", "ablate_blocks"]
#: A run of seconds: two steps on 130 digits.
TINY = ["--epochs", "1", "--images-per-class", "13", "--no-memory"]


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in ("benchmarks", "ablation") or "abla" in name]:
        if not name.startswith(("tests", "vig_pyg")):
            del sys.modules[name]


def run(script, out, *options):
    """A script as from the command line."""
    module = importlib.import_module(script)
    argv = [*TINY, "--out", str(out), *map(str, options)]
    module.main(module.__doc__, module.variants, script=module.__file__, epochs=1, argv=argv)


def results(out):
    with (out / "results.csv").open() as file:
        return list(csv.DictReader(file))


def refusal(capsys, script, out, *options):
    """What a refused command says."""
    with pytest.raises(SystemExit) as stop:
        run(script, out, *options)
    assert stop.value.code == 2
    return capsys.readouterr().err


ONLY = {
    "ablate_operators": ("mr", "edge-interleaved"),
    "ablate_graph": ("knn", "reuse"),
    "ablate_blocks": ("conv+fc+ffn", "conv"),
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_leaves_table_numbers_and_plot(tmp_path, script):
    out = tmp_path / "out"
    run(script, out, "--seeds", 2, "--only", *ONLY[script])
    rows = results(out)
    assert tuple(row["variant"] for row in rows) == ONLY[script]
    for row in rows:
        files = sorted((out / "runs").glob(f"{row['variant']}.seed*.json"))
        top1 = [json.loads(path.read_text())["top1"] for path in files]
        assert len(top1) == int(row["seeds"]) == 2
        assert float(row["top1_mean"]) == pytest.approx(np.mean(top1))
        assert float(row["top1_std"]) == pytest.approx(np.std(top1, ddof=1))
        assert float(row["images_per_second"]) > 0 and int(row["macs"]) > 10**5 and int(row["parameters"]) > 10**3
    text = (out / "results.md").read_text()
    assert all(f"`{name}`" in text for name in ONLY[script])
    assert re.search(r"Command: `python .+`\. Commit: \w+.*\d threads", text)
    with Image.open(out / "plot.png") as plot:
        assert plot.width > 500


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An ablation with one variant and one seed."""
    out = tmp_path_factory.mktemp("ablation") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        run("ablate_operators", out, "--seeds", 1, "--only", "mr")
    return out


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of its folder, which a test may change."""
    return shutil.copytree(whole, tmp_path / "out")


def trained(monkeypatch):
    """Notes what is trained, without training."""
    done = []

    def train(folder, variant, seed, *_, **__):
        done.append((variant.name, seed))
        return {"top1": 50.0, "seconds": 1.0}

    monkeypatch.setattr(training, "train_run", train)
    return done


def test_a_rerun_trains_nothing_and_says_the_same(finished, monkeypatch):
    before, done = results(finished), trained(monkeypatch)
    run("ablate_operators", finished, "--seeds", 1, "--only", "mr")
    assert done == [] and results(finished) == before


def test_more_seeds_and_variants_train_what_is_missing(finished, monkeypatch):
    done = trained(monkeypatch)
    run("ablate_operators", finished, "--seeds", 2, "--only", "mr", "gin")
    assert done == [("gin", 0), ("mr", 1), ("gin", 1)]
    assert [(row["variant"], row["seeds"]) for row in results(finished)] == [("mr", "2"), ("gin", "2")]


def test_a_stopped_ablation_keeps_what_is_finished(tmp_path, monkeypatch, capsys):
    trained(monkeypatch)
    noted = training.train_run

    def train(folder, variant, seed, *rest, **more):
        if seed == 1:
            raise KeyboardInterrupt
        return noted(folder, variant, seed, *rest, **more)

    monkeypatch.setattr(training, "train_run", train)
    with pytest.raises(SystemExit) as stop:
        run("ablate_operators", tmp_path / "out", "--seeds", 2, "--only", "mr", "gin")
    assert stop.value.code == 130 and "goes on from here" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out" / "runs").iterdir()} == {"mr.seed0.json", "gin.seed0.json"}


def test_other_settings_are_refused(finished, capsys):
    said = refusal(capsys, "ablate_operators", finished, "--lr", "0.1", "--only", "mr")
    assert "holds runs with other settings (lr: 0.003 there, 0.1 now): choose another folder (--out)" in said
    assert "ablation: ablate_operators there, ablate_graph now" in refusal(capsys, "ablate_graph", finished)


def test_bad_commands_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "some.txt").write_text("mine")
    cases = {
        "is not the folder of an ablation": (tmp_path,),
        "There is no variant 'mrx' for this model: choose from mr, mr-blocks, edge": (tmp_path / "a", "--only", "mrx"),
        "Unknown model 'vig': choose one of vig_micro": (tmp_path / "a", "--model", "vig"),
        "--seeds must be at least 1": (tmp_path / "a", "--seeds", "0"),
        "does not exist": (tmp_path / "a", "--data", tmp_path / "nowhere"),
    }
    for message, (out, *options) in cases.items():
        assert message in refusal(capsys, "ablate_operators", out, *options)


def test_variants_are_listed(tmp_path, capsys):
    run("ablate_graph", tmp_path / "a", "--list")
    assert "axial              every second patch" in capsys.readouterr().out
    assert not (tmp_path / "a").exists()


def test_a_folder_of_pictures(tmp_path):
    for part, count in (("train", 9), ("val", 3)):
        for label in "ab":
            folder = tmp_path / "images" / part / label
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(np.random.default_rng(i).integers(0, 255, (20, 24, 3), np.uint8)).save(
                    folder / f"{i}.png"
                )
    options = ["--data", tmp_path / "images", "--batch-size", 4, "--images-per-class", 5, "--num-workers", 0]
    run("ablate_blocks", tmp_path / "out", *options, "--image-size", 16, "--seeds", 1, "--only", "conv")
    (row,) = results(tmp_path / "out")
    assert float(row["top1_mean"]) in [pytest.approx(100 * i / 6) for i in range(7)]
    assert json.loads((tmp_path / "out" / "ablation.json").read_text())["patch_size"] == 8
    import ablation_data

    settings = {"data": str(tmp_path / "images"), "image_size": 16, "batch_size": 4, "images_per_class": 5}
    first, second = (ablation_data.load_data(settings, 0).train_set for _ in range(2))
    assert first.sources == second.sources and sorted(first.labels) == [0] * 5 + [1] * 5


@pytest.mark.parametrize("model", ["vig_micro", "pvig_micro"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_variant_learns(script, model):
    options = {"num_classes": 3, "in_channels": 1, "image_size": 16, "patch_size": 2}
    found = importlib.import_module(script).variants(model)
    assert len({variant.name for variant in found}) == len(found) >= 4
    for variant in found:
        torch.manual_seed(0)
        network = variant.make(model, options)
        assert network(torch.rand(2, 1, 32, 32)).shape == (2, 3), variant.name
        assert assert_parameters_get_gradients(network, torch.rand(2, 1, 32, 32)) > 0, variant.name


@pytest.mark.parametrize(
    ("plain", "other"),
    [("MaxRelativeConv", "MaxRelativeBlocks"), ("EdgeConv", "EdgeInterleaved"), ("GraphSAGEConv", "SAGEInterleaved")],
)
def test_the_confound_changes_the_order_of_channels_and_nothing_else(plain, other):
    import ablate_operators

    from vig_pyg import conv

    make = getattr(ablate_operators, other)
    assert assert_operator(make) < 1e-5
    one, two = getattr(conv, plain)(8, 16, heads=1).eval(), make(8, 16, heads=1).eval()
    two.load_state_dict(one.state_dict())
    last = next(layer for layer in two.mlp if isinstance(layer, torch.nn.Linear))
    columns = last.weight.detach().clone()
    in_blocks, interleaved = columns.view(-1, 2, 8), columns.view(-1, 8, 2)
    order = interleaved.transpose(1, 2) if plain == "MaxRelativeConv" else in_blocks.transpose(1, 2)
    last.weight.data = order.flatten(1)
    x, edge_index = torch.randn(12, 8), torch.stack([torch.randint(12, (36,)), torch.arange(12).repeat_interleave(3)])
    torch.testing.assert_close(two(x, edge_index), one(x, edge_index))
    with pytest.raises(AssertionError):  # with heads the orders are different functions
        heads = [getattr(conv, plain)(8, 16, heads=4).eval(), make(8, 16, heads=4).eval()]
        heads[1].load_state_dict(heads[0].state_dict())
        torch.testing.assert_close(heads[0](x, edge_index), heads[1](x, edge_index))


def test_the_parts_of_a_block_are_there_or_not():
    import ablate_blocks

    for variant in ablate_blocks.variants("vig_micro"):
        block = next(m for m in variant.make("vig_micro", {"num_classes": 3}).modules() if isinstance(m, Block))
        parts = {name.split(".")[0] for name, _ in block.grapher.named_parameters()}
        assert ("fc1" in parts and "fc2" in parts) is ("fc" in variant.name.split("+"))
        assert bool(list(block.ffn.parameters())) is ("ffn" in variant.name)
        assert "conv" in parts


def test_memory_is_measured_in_a_process_of_its_own():
    import ablation_costs

    options = {"num_classes": 3, "in_channels": 1, "image_size": 16, "patch_size": 2}
    script = str(EXAMPLES / "ablate_blocks.py")
    used = ablation_costs.peak_elsewhere(script, "conv", "vig_micro", options, [64, 1, 16, 16])
    assert 1 < used < 2000 or not Path("/proc/self/status").is_file()
    with pytest.raises(ValueError, match="The memory of none could not be measured"):
        ablation_costs.peak_elsewhere(str(EXAMPLES / "missing.py"), "none", "vig_micro", options, [2, 1, 16, 16])


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_commands_of_the_docstring_exist(script):
    module = importlib.import_module(script)
    text = module.__doc__.replace("\\\n", " ")
    commands = re.findall(rf"uv run python examples/{script}\.py([^#\n]*)", text)
    assert len(commands) >= 2
    from ablation import arguments, chosen

    for command in commands:
        args = arguments("", out="runs", epochs=1).parse_args(command.split())
        assert chosen(module.variants(args.model), args.only)


@pytest.mark.parametrize("error", [ValueError("mathtext"), ImportError("no matplotlib"), MemoryError()])
def test_numbers_are_safe_before_the_plot(finished, monkeypatch, caplog, error):
    before, done = results(finished), trained(monkeypatch)

    def fail(*_):
        raise error

    for name in ("results.md", "results.csv", "results.json", "plot.png"):
        (finished / name).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(report, "draw_ablation", fail)
        run("ablate_operators", finished, "--seeds", 1, "--only", "mr")
    assert done == [] and results(finished) == before and (finished / "results.md").is_file()
    assert json.loads((finished / "results.json").read_text())["rows"][0]["variant"] == "mr"
    assert f"plot.png was not drawn ({type(error).__name__}" in caplog.text
    run("ablate_operators", finished, "--seeds", 1, "--only", "mr")
    assert (finished / "plot.png").is_file()


def test_memory_that_cannot_be_measured_leaves_its_column_out(finished, monkeypatch, capsys):
    import ablation_costs

    def fail(*_):
        raise ValueError("no new process")

    trained(monkeypatch)
    monkeypatch.setattr(ablation_costs, "peak_elsewhere", fail)
    monkeypatch.setattr(sys.modules[__name__], "TINY", [one for one in TINY if one != "--no-memory"])
    run("ablate_operators", finished, "--seeds", 1, "--only", "mr")
    assert "no new process" in capsys.readouterr().err and results(finished)[0]["peak_mib"] == ""


def test_without_git_nothing_is_lost(monkeypatch):
    from benchmarks import harness

    def missing(*_, **__):
        raise FileNotFoundError("git")

    monkeypatch.setattr(harness.subprocess, "run", missing)
    assert harness.environment()["torch"]


def test_an_interrupt_at_the_start_does_not_block_the_next_try(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", interrupt)
        with pytest.raises(SystemExit) as stop:
            run("ablate_operators", tmp_path / "out", "--seeds", 1, "--only", "mr")
        assert stop.value.code == 130
    assert not (tmp_path / "out").exists()
    trained(monkeypatch)
    run("ablate_operators", tmp_path / "out", "--seeds", 1, "--only", "mr")
    assert results(tmp_path / "out")
