import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch.utils.data import TensorDataset

from tests.classification.job import few_digits
from vig_pyg import create_model
from vig_pyg.classification import ClassificationConfig
from vig_pyg.engine import TrainData
from vig_pyg.engine.data import on_a


def test_the_place_of_an_epoch_goes_round():
    data, other = few_digits(batch_size=32), few_digits(batch_size=32)
    data.place = (2, 3)
    other.load_state_dict(data.state_dict())
    data.seed = other.seed = 5
    rest = [labels.tolist() for _, labels in other.train_dataloader()]
    assert rest == [labels.tolist() for _, labels in data.train_dataloader()]
    assert len(rest) == 3  # of six
    data.place = (2, 0)
    assert [labels.tolist() for _, labels in data.train_dataloader()][3:] == rest


def test_what_no_run_could_use_is_told():
    nothing = TensorDataset()
    with pytest.raises(ValueError, match="num_workers must be at least 0, got -1"):
        TrainData("none", train_set=nothing, val_set=nothing, class_names=[], batch_size=1, num_workers=-1)
    data = few_digits(val=0)
    with pytest.raises(ValueError, match="no validation images"):
        TrainData.check(data, None, ClassificationConfig(), world=1)
    with pytest.raises(ValueError, match="multiple"):
        TrainData.check(few_digits(), None, ClassificationConfig(accumulate=7), world=1)


@pytest.mark.parametrize("cores", [1, 2, 5])
@pytest.mark.parametrize("num_workers", [0, 1, 2, 8])
def test_no_more_processes_load_images_than_there_are_cores(monkeypatch, cores, num_workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    data = few_digits(num_workers=num_workers)
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.num_workers == min(cores, num_workers)
        assert loader.persistent_workers == (num_workers > 0)


WORKERS = """
import multiprocessing, os, sys, time
from vig_pyg.engine import data

def work(over, path):
    data._stay_until_told(over, 0)
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    workers = [multiprocessing.Process(target=work, args=(data._is_over(), path)) for path in sys.argv[2:]]
    [worker.start() for worker in workers]
    [worker.join() for worker in workers]
"""


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_end_with_a_process_that_is_killed(tmp_path, method):
    script, names = tmp_path / "workers.py", [tmp_path / "one", tmp_path / "two"]
    script.write_text(WORKERS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, script, method, *names], env=environment)
    while not all(name.exists() and name.read_text() for name in names):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    workers = [int(name.read_text()) for name in names]
    deadline = time.monotonic() + 120
    while any(map(is_running, workers)):
        assert time.monotonic() < deadline, workers
        time.sleep(0.1)


def test_a_card_names_the_family_of_the_backbone():
    body, other = create_model("mobilevig_tiny"), torch.nn.Linear(2, 2)
    assert (on_a(body), on_a(other), on_a(None)) == (" on a MobileViG", "", "")
