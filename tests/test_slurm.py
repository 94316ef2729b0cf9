"""The guide's script for SLURM, under a `srun` and a `scontrol` that are played on this machine."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.images import make_folder

ROOT = Path(__file__).parents[1]
#: Two tasks on two machines, both of them this one; a signal to `srun` reaches both.
SRUN = """#!/bin/bash
tasks=()
for i in 0 1; do
    SLURM_PROCID=$i SLURM_NODEID=$i SLURM_LOCALID=0 "$@" &
    tasks+=($!)
done
trap 'kill -TERM "${tasks[@]}"' TERM
status=0
for task in "${tasks[@]}"; do
    while wait "$task"; code=$?; kill -0 "$task" 2> /dev/null; do :; done
    ((code > status)) && status=$code
done
exit $status
"""
SCONTROL = '#!/bin/bash\necho "$@" >> "$REQUEUED"\n'
VIG_PYG = f'#!/bin/bash\nexec {sys.executable} -m vig_pyg.cli "$@"\n'
SMALL = "--image-size 32 --epochs 4 --batch-size 4 --accelerator cpu --checkpoint-every 1 --num-workers 1 --quiet"


def script(data, run):
    """The guide's script with a small network on a few images."""
    guide = (ROOT / "examples" / "guides" / "scale-out.md").read_text()
    blocks = re.findall(r"```bash\n(#!/bin/bash\n#SBATCH.*?)```", guide, flags=re.DOTALL)
    assert len(blocks) == 1
    given = "--preset imagenet --data /shared/imagenet --model pvig_small"
    assert given in blocks[0] and "RUN=/shared/runs/pvig_small" in blocks[0]
    text = blocks[0].replace(given, f"--data {data} --model vig_micro {SMALL}")
    return text.replace("/shared/runs/pvig_small", str(run))


def stamp(path):
    return path.stat().st_mtime_ns if path.exists() else 0


def job(folder, run, stops):
    """Start the job until it is not put back in the queue; in its first `stops` starts SIGTERM comes after a step."""
    requeued, starts = folder / f"{run.name}-requeued", 0
    variables = {"SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "vig", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1",
                 "SLURM_NNODES": "2", "SLURM_NODELIST": "localhost", "REQUEUED": str(requeued)}  # fmt: skip
    env = {**os.environ, **variables, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    while not starts or len(requeued.read_text().splitlines() if requeued.exists() else []) == starts:
        starts += 1
        env["MASTER_PORT"] = str(random.randrange(20_000, 30_000))
        before = stamp(run / "last.ckpt")
        batch = subprocess.Popen(["bash", str(folder / f"{run.name}.sh")], env=env, cwd=ROOT)
        if starts <= stops:
            while stamp(run / "last.ckpt") == before and batch.poll() is None:
                time.sleep(0.05)
            srun = Path(f"/proc/{batch.pid}/task/{batch.pid}/children").read_text().split()
            os.kill(int(srun[0]), signal.SIGTERM)
        batch.wait()
    return starts


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_script_of_the_readme_goes_on_after_its_time_is_up(tmp_path):
    data = make_folder(tmp_path / "images")
    (tmp_path / "bin").mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL), ("vig-pyg", VIG_PYG)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    for run in (whole, stopped):
        Path(f"{run}.sh").write_text(script(data, run))
    assert job(tmp_path, whole, 0) == 1
    assert job(tmp_path, stopped, 1) == 2
    assert (tmp_path / "stopped-requeued").read_text() == "requeue 7\n"
    assert sorted(os.listdir(stopped)) == sorted(os.listdir(whole))
    for name in ("model.safetensors", "metrics.csv"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
