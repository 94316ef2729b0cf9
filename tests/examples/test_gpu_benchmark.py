"""The benchmark for GPUs runs where there is none, so that it works where there is one."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "benchmarks" / "gpu.py"


def run(*options):
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_table_on_a_processor():
    options = "--models pvig_micro --batch-size 2 --no-compile --repeats 1 --parts correct kernels inference training"
    done = run("--device", "cpu", *options.split())
    assert done.returncode == 0, done.stderr[-1000:]
    for word in ("'equal neighbors': 1.0", "'gather-max, backward'", "'ours, plain torch'", "'training step'"):
        assert word in done.stdout


def test_no_gpu_is_an_error(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run()
    assert done.returncode == 2
    assert "there is no GPU here" in done.stderr
