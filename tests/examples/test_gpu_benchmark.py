"""The benchmark for GPUs runs where there is none, so that it works where there is one."""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from vig_pyg import create_model
from vig_pyg.ops import has_max_relative, knn
from vig_pyg.ops._triton import has_triton_kernels, triton_kernels

FOLDER = Path(__file__).parents[2] / "examples" / "benchmarks"
SCRIPT = FOLDER / "gpu.py"


@pytest.fixture
def benchmark(monkeypatch):
    """The benchmark's files can be imported, as in its process."""
    monkeypatch.syspath_prepend(str(FOLDER))


def run(*options):
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def written(folder):
    (path,) = folder.glob("gpu_*.json")
    return json.loads(path.read_text())


@pytest.mark.slow
def test_networks_without_a_gpu(tmp_path):
    options = "--device cpu --models pvig_micro --batch-size 2 --no-compile --repeats 1 --profile"
    done = run(*options.split(), "--out", str(tmp_path), "--parts", "eager", "--commit", "abc123")
    assert done.returncode == 0, done.stderr[-1000:]
    found = written(tmp_path)
    assert found["environment"]["commit"] == "abc123"
    assert found["device"] == "CPU" and {"torch", "commit", "triton", "timm"} <= found["environment"].keys()
    assert [row["error"] for row in found["rows"] if "error" in row] == []
    rows = {(row["mode"], row["batch"], row["network"]): row for row in found["rows"]}
    names = {"ours", "reference", "floor", "Swin-T", "DeiT-S", "ConvNeXt-T"}
    for mode, batch in (("inference, eager", 2), ("inference, eager", 1), ("training step, eager", 2)):
        assert names <= {network for a, b, network in rows if (a, b) == (mode, batch)}
        row = rows[mode, batch, "ours"]
        assert row["x reference"] == row["images/s"] / rows[mode, batch, "reference"]["images/s"]
        assert row["of the floor"] == row["images/s"] / rows[mode, batch, "floor"]["images/s"]
    assert rows["inference, eager", 2, "Swin-T"]["of Swin-T"] == 1
    assert {path.name for path in tmp_path.glob("profile_*")} == {
        "profile_pvig_micro_inference.txt",
        "profile_pvig_micro_training.txt",
    }
    assert "vig_pyg::" in (tmp_path / "profile_pvig_micro_inference.txt").read_text()
    assert "| pvig_micro | 2 | ConvNeXt-T |" in done.stdout.split("**training step, eager**")[1]


@pytest.mark.slow
def test_every_part_without_a_gpu(tmp_path):
    options = "--device cpu --models pvig_micro --batch-size 2 --repeats 1 --large-size 224 320"
    done = run(*options.split(), "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr[-1000:]
    rows = written(tmp_path)["rows"]
    assert [row["error"] for row in rows if "error" in row] == []
    modes = {row["mode"] for row in rows}
    assert {"correct", "search, bfloat16", "gather-max, backward", "dispatcher", "inference, compiled"} <= modes
    assert {row["equal neighbors"] for row in rows if row["mode"] == "correct"} == {1.0}


def test_no_gpu_is_an_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run()
    assert done.returncode == 2
    assert "there is no GPU here" in done.stderr


def test_a_variant_that_fails_is_a_row_and_the_others_are_kept(benchmark, tmp_path):
    from gpu_report import Report
    from gpu_tables import Prepared, compare

    def fails():
        raise RuntimeError("no kernel image")

    def later():
        raise AssertionError("nothing begins when the time is up")

    report = Report(tmp_path / "sub" / "rows.json")
    args = argparse.Namespace(device=torch.device("cpu"), repeats=2)
    rows = {
        "reference": lambda: Prepared(lambda: torch.ones(3).sum(), lambda: 0),
        "cannot be built": fails,
        "cannot run": lambda: Prepared(fails, lambda: 0),
    }
    compare(rows, {"mode": "a", "model": "b", "batch": 4}, args, report, repeats=2)
    report._seconds = 0.0
    compare({"late": later}, {"mode": "a", "model": "b", "batch": 4}, args, report, repeats=2)
    found = {row["network"]: row for row in json.loads(report.path.read_text())["rows"]}
    assert found["reference"]["images/s"] > 0 and found["reference"]["x reference"] == 1
    assert found["reference"]["rounds"] == "in turn"
    for name in ("cannot be built", "cannot run"):
        assert found[name]["error"] == "RuntimeError: no kernel image"
    assert "time was up" in found["late"]["error"]
    assert "| b | 4 | cannot run |" in report.tables()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_job_that_kills_its_process_does_not_end_the_others(benchmark, tmp_path):
    from gpu_jobs import Job, run_jobs
    from gpu_report import Report

    def row(network):
        return {"mode": "a", "model": "b", "batch": 1, "network": network, "images/s": 2.0}

    def dies(report):
        report.add(row("before the end"))
        os._exit(9)

    def raises(report):
        raise RuntimeError("an illegal memory access")

    jobs = [Job("first", lambda report: report.add(row("first"))), Job("dies", dies), Job("raises", raises)]
    jobs += [Job("second", lambda report: report.add(row("second"))), Job("third", lambda report: report.add(row("3")))]
    report = Report(tmp_path / "rows.json")
    processes = []
    run_jobs(lambda: jobs, report, lambda: processes.append(1) or {"device": "none"}, "fork")
    found = json.loads(report.path.read_text())
    assert [row["network"] for row in found["rows"]] == ["first", "before the end", "dies", "raises", "second", "3"]
    errors = [row["error"] for row in found["rows"] if "error" in row]
    assert errors == ["exit code 9", "RuntimeError: an illegal memory access"]
    assert found["device"] == "none" and not processes  # this process prepares nothing: it must not touch the GPU


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_job_that_hangs_or_breaks_the_gpu_does_not_end_the_others(benchmark, tmp_path, monkeypatch):
    from gpu_jobs import Job, run_jobs
    from gpu_report import Report

    def breaks(report):
        def answer():
            raise RuntimeError("device-side assert")

        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
        monkeypatch.setattr(torch.cuda, "synchronize", answer)
        report.add({"mode": "a", "network": str(os.getpid())})
        raise RuntimeError("an illegal memory access")

    jobs = [
        Job("breaks", breaks),
        Job("hangs", lambda _: time.sleep(600)),
        Job("last", lambda report: report.add({"mode": "a", "network": str(os.getpid())})),
        Job("hangs at the end", lambda _: time.sleep(600)),
    ]
    report = Report(tmp_path / "rows.json")
    run_jobs(lambda: jobs, report, dict, "fork", stalled=5.0)
    rows = json.loads(report.path.read_text())["rows"]
    assert [(row["network"], row["error"]) for row in rows if "error" in row] == [
        ("breaks", "RuntimeError: an illegal memory access"),
        ("hangs", "nothing new for 5 s"),
        ("hangs at the end", "nothing new for 5 s"),
    ]
    assert len({row["network"] for row in rows if row["mode"] == "a"} - {str(os.getpid())}) == 2


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_where_no_process_can_begin_the_jobs_run_in_this_one(benchmark, tmp_path):
    from gpu_jobs import Job, run_jobs
    from gpu_report import Report

    def begin():
        if os.getpid() != here:
            raise RuntimeError("initialization error")
        return {}

    here, report = os.getpid(), Report(tmp_path / "rows.json")
    jobs = [Job(name, lambda report, name=name: report.add({"mode": "a", "network": name})) for name in "bc"]
    run_jobs(lambda: jobs, report, begin, "fork")
    assert [row["network"] for row in json.loads(report.path.read_text())["rows"]] == ["b", "c"]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_compilations_that_hang_are_killed_in_time(benchmark, capsys):
    from gpu_jobs import AHEAD_SECONDS, LAST_SECONDS, STALLED_SECONDS, end_all

    context = multiprocessing.get_context("fork")
    children = [context.Process(target=time.sleep, args=(seconds,), name=f"{seconds}") for seconds in (600, 0, 600)]
    for child in children:
        child.start()
    end_all(children, time.monotonic() + 1)
    assert [child.exitcode for child in children] == [-9, 0, -9]
    assert capsys.readouterr().out.splitlines() == ["600 is killed: it has not ended in time"] * 2
    end_all(children, None)
    assert AHEAD_SECONDS + LAST_SECONDS < STALLED_SECONDS  # else the job that waits for them would be killed before


def test_parts_run_in_the_order_they_are_given(benchmark):
    from gpu_jobs import PARTS, PROFILES, all_jobs

    args = argparse.Namespace(device=torch.device("cuda"), quick=True, no_compile=False, batch_size=8, ahead=8)
    args.models, args.parts = (
        ["pvig_small", "vig_small"],
        ["graphs", "profile", "compiled", "search", "compiled-training"],
    )
    names = [job.name for job in all_jobs(args)]
    assert names[3:7] == [
        "inference, CUDA graph | vig_small | 8",
        "profile",
        "compile ahead",
        COMPILED.format("pvig_small"),
    ]
    searches = [name for name in names if name.startswith(("correct | ", "search | ")) or name == "dispatcher"]
    assert len(searches) == 6 + 2 * 6 + 1 and searches[-1] == names[-3] == "dispatcher"
    assert names[-2:] == [
        "training step, compiled | pvig_small | 8",
        "training step, compiled | vig_small | 8",
    ]
    assert names.count("compile ahead") == 1 and COMPILED.format("vig_small") in names
    args.ahead, args.parts = 0, [*PARTS, *PROFILES]
    assert len(all_jobs(args)) == len({job.name for job in all_jobs(args)}) == 21 + len(searches)
    assert "training step, CUDA graph | vig_small | 8" in {job.name for job in all_jobs(args)}


COMPILED = "inference, compiled | {} | 8"


def test_without_triton_is_plain_torch_everywhere(benchmark):
    from gpu_networks import without_triton

    with FakeTensorMode():
        x = torch.empty(4, 32, device="cuda")
    assert has_max_relative(x, x) == has_triton_kernels(x.device)
    with without_triton():
        assert not has_triton_kernels(x.device) and not has_max_relative(x, x) and triton_kernels() is None
    assert has_max_relative(x, x) == has_triton_kernels(x.device)


class Products(TorchDispatchMode):
    """Collects the types of the products of batches."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.bmm.default:
            self.dtypes.add(args[0].dtype)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("autocast_search", [False, True])
def test_the_reference_searches_as_the_published_code_does(benchmark, autocast_search):
    from reference import DenseReference

    config = create_model("vig_micro", image_size=112, patch_size=16).config
    reference = DenseReference(config, autocast_search=autocast_search).eval()
    with torch.no_grad(), Products() as found, torch.autocast("cpu", torch.bfloat16):
        reference(torch.rand(1, 3, 112, 112))
    assert found.dtypes == {torch.bfloat16 if autocast_search else torch.float32}
    with torch.no_grad(), Products() as found:
        reference(torch.rand(1, 3, 112, 112))
    assert found.dtypes == {torch.float32}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", ["pvig_small", "vig_small"])
def test_what_compiles_comes_last_and_no_compile_leaves_it_out(benchmark, name, quick):
    from gpu_tables import tables

    args = argparse.Namespace(device=torch.device("cuda"), quick=quick, no_compile=False, batch_size=128)
    plan = tables(args, name)
    eager = [table for table in plan if table.how in ("eager", "CUDA graph")]
    assert plan[: len(eager)] == eager and {table.how for table in plan[len(eager) :]} == {
        "compiled",
        "reduce-overhead",
    }
    assert all({"ours", "reference", "Swin-T"} <= set(table.networks) for table in plan)
    assert all("floor" in table.networks for table in plan if not quick or table.mode == "inference, compiled")
    assert {(table.batch, table.train) for table in eager} == {(128, False), (1, False), (128, True)}
    assert tables(argparse.Namespace(**vars(args) | {"no_compile": True}), name) == eager


def test_memory_of_a_network_is_weights_gradients_and_optimizer(benchmark):
    from gpu_timing import state_bytes

    net = torch.nn.Linear(8, 4, device="meta")  # numbers of the CPU do not count
    weights = 4 * (8 * 4 + 4)
    assert state_bytes(net) == weights
    net(torch.ones(2, 8, device="meta")).sum().backward()
    assert state_bytes(net) == 2 * weights
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, foreach=False)
    optimizer.step()
    assert state_bytes(net, optimizer) == 3 * weights
    assert state_bytes(torch.nn.Linear(8, 4)) == 0


@pytest.mark.parametrize("seed", range(12))
def test_the_other_way_to_search_has_the_same_result(benchmark, seed):
    """Also in ties, so that a dispatcher could choose either."""
    from gpu_search import exact_edges

    rng = torch.Generator().manual_seed(seed)
    b, n, m, c = (int(torch.randint(low, high, (), generator=rng)) for low, high in ((1, 4), (1, 30), (9, 30), (2, 9)))
    x, y = (torch.randint(-1, 2, (b, count, c), generator=rng).float() for count in (n, m))
    if seed % 3 == 0:
        x = y
    bias = torch.randint(0, 2, (1, x.size(1), m), generator=rng).float()
    step = 1 + seed % 3
    want = knn(x, y, 9, step=step, bias=bias, normalize=True)
    unit, unit_y = (torch.nn.functional.normalize(part, dim=-1) for part in (x, y))
    scores = (unit @ unit_y.transpose(1, 2) + bias).flatten()
    found = exact_edges(x, y, bias, 9, step)
    chosen = [scores[edges[1] * m + edges[0] % m] for edges in (found, want)]
    torch.testing.assert_close(*chosen)  # in each rank as near; equal features tie up to the rounding of their products
    assert torch.equal(found[1], want[1])
    whole = x.round(), y.round()  # products of one-hot features are exact: every tie is one
    one_hot = [torch.nn.functional.one_hot((part[..., 0] + 1).long(), 3).float() for part in whole]
    assert torch.equal(exact_edges(*one_hot, bias, 9, step), knn(*one_hot, 9, step=step, bias=bias, normalize=True))


def test_each_search_says_whether_the_kernels_were_the_faster(benchmark, tmp_path):
    from gpu_report import Report
    from gpu_search import EXACT, PLAIN, _never_slower

    report = Report(tmp_path / "rows.json")
    times = {"a": (1.0, 2.0, 0.9), "b": (1.0, 0.5, 1.1), "c": (1.0, None, None)}
    for name, row in times.items():
        for network, ms in zip(("ours", EXACT, PLAIN), row, strict=True):
            if ms is not None:
                report.add({"mode": "search, x", "model": name, "batch": 1, "network": network, "ms": ms})
    _never_slower(report)
    found = {row["model"]: row for row in report.rows.values() if row["mode"].startswith("dispatcher")}
    assert [found[name].get("the faster of both") for name in "abc"] == [True, False, None]
    assert [found[name].get("no slower") for name in "abc"] == [False, True, None]
    assert {found[name]["chosen"] for name in "abc"} == {"kernels"}
    assert found["all"]["shapes"] == 3 and found["all"]["which"] == "search, x, a, 1"
