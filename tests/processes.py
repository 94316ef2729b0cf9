"""Processes that train: forked from a server that has imported everything before, or as torchrun starts them."""

import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from multiprocessing import connection

#: Largest number of seconds of a pair of processes.
_LIMIT = 600
#: Programs that train, which import most of what a test needs: that takes longer than the training.
JOBS = ["tests.classification.job", "tests.detection.job", "tests.segmentation.job"]


def server():
    """The context of processes that are forked from a process of these imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(JOBS)
    return context


def torchrun(job, *arguments, **values):
    """What `job.run(*arguments, **values)` returns in the first of two processes; what they print is no advice."""
    pairs = [f"{key}={json.dumps(value)}" for key, value in values.items()]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    done = subprocess.run(
        [*command, job.__name__, *map(str, arguments), "0", *pairs],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "recommended" not in done.stderr and "deprecated" not in done.stderr  # advice that does not apply here
    return json.loads(next(line[2:] for line in done.stdout.splitlines() if line.startswith("0 ")))


def forked(job, *arguments, **values):
    """The same with the variables of torchrun, in seconds less."""
    context = server()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    results = context.SimpleQueue()
    processes = [
        context.Process(target=_train, args=(rank, port, results, job.run, arguments, values)) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    try:
        end = time.monotonic() + _LIMIT
        while any(process.exitcode is None for process in processes) and time.monotonic() < end:
            if any(process.exitcode for process in processes):  # the other one waits for it, for half an hour
                break
            connection.wait([process.sentinel for process in processes if process.exitcode is None], timeout=1)
        codes = [process.exitcode for process in processes]
        assert codes == [0, 0], codes
        return results.get()
    finally:
        for process in processes:  # a process that is left would be waited for when the tests end
            process.kill()
            process.join()


def _train(rank, port, results, run, arguments, values):
    import torch

    sizes = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_WORLD_SIZE": 1}
    places = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    variables = {**sizes, **places, "TORCHELASTIC_RUN_ID": "tests", "OMP_NUM_THREADS": 1}
    os.environ.update({key: str(value) for key, value in variables.items()})
    torch.set_num_threads(1)
    found = run(*arguments, **values)
    if rank == 0:
        results.put({key: float(value) for key, value in found.items()})
