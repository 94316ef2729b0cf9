import itertools
import random

import pytest

from vig_pyg.engine.processes import Processes, check_processes, processes

HOST = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def torchrun(nodes, here):
    for node, local in itertools.product(range(nodes), range(here)):
        yield {
            **HOST,
            "TORCHELASTIC_RUN_ID": "none",
            "GROUP_RANK": str(node),
            "LOCAL_RANK": str(local),
            "RANK": str(node * here + local),
            "WORLD_SIZE": str(nodes * here),
            "LOCAL_WORLD_SIZE": str(here),
        }


def slurm(nodes, here):
    for node, local in itertools.product(range(nodes), range(here)):
        yield {
            "SLURM_JOB_NAME": "train",
            "SLURM_NTASKS": str(nodes * here),
            "SLURM_NTASKS_PER_NODE": str(here),
            "SLURM_NNODES": str(nodes),
            "SLURM_PROCID": str(node * here + local),
            "SLURM_LOCALID": str(local),
            "SLURM_NODEID": str(node),
        }


def torchrun_in_slurm(nodes, here):
    for one in torchrun(nodes, here):
        node = one["GROUP_RANK"]
        yield {**one, "SLURM_NTASKS": str(nodes), "SLURM_PROCID": node, "SLURM_LOCALID": "0", "SLURM_NODEID": node}


def lightning(nodes, here):
    for node, local in itertools.product(range(nodes), range(here)):
        yield {**HOST, "NODE_RANK": str(node), "LOCAL_RANK": str(local), "WORLD_SIZE": str(nodes * here)}


def lsf(nodes, here):
    for rank in range(nodes * here):
        yield {
            "LSB_JOBID": "1",
            "LSB_DJOB_RANKFILE": "file",
            "JSM_NAMESPACE_RANK": str(rank),
            "JSM_NAMESPACE_LOCAL_RANK": str(rank % here),
            "JSM_NAMESPACE_SIZE": str(nodes * here),
        }


LAUNCHES = [torchrun, slurm, torchrun_in_slurm, lightning, lsf]


@pytest.mark.parametrize(("nodes", "here"), [(1, 1), (1, 2), (2, 1), (2, 2), (3, 4)])
@pytest.mark.parametrize("launch", LAUNCHES)
def test_of_all_processes_exactly_one_is_first(launch, nodes, here):
    found = [check_processes(here, nodes, env) for env in launch(nodes, here)]
    assert [one.first for one in found] == [True] + [False] * (nodes * here - 1)
    assert {one.world for one in found} == {nodes * here}
    assert all(check_processes("auto", nodes, env) == processes(env) for env in launch(nodes, here))
    with pytest.raises(ValueError, match=r"has started \d+ processes, but devices=5"):
        check_processes(5, nodes, next(launch(nodes, here)))


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"RANK": "0"},
        {"WORLD_SIZE": "1", "RANK": "0"},
        {"LOCAL_RANK": "0"},
        HOST,
        {"SLURM_PROCID": "0", "SLURM_JOB_ID": "7"},
        {"SLURM_NTASKS": "1"},
        {"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "interactive", "SLURM_PROCID": "0"},
    ],
)
def test_a_single_process_is_first(env):
    assert processes(env) == Processes() == check_processes(1, 1, env) == check_processes("auto", 1, env)


@pytest.mark.parametrize(
    "name", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE",
             "LOCAL_WORLD_SIZE"]
)  # fmt: skip
@pytest.mark.parametrize("value", ["2", "7", "-1", "x", "", "1.5", "\x1b[2J", "9" * 5000, "²"])
def test_a_variable_that_is_left_over_is_named(name, value):
    with pytest.raises(ValueError, match=rf"\b{name}=") as error:
        processes({name: value})
    assert str(error.value).isprintable() and len(str(error.value)) < 400


def test_processes_that_nobody_would_start_are_told():
    with pytest.raises(ValueError, match=r"LOCAL_RANK=0 is set, so the other 3 processes would not be started"):
        check_processes(4, 1, {"LOCAL_RANK": "0"})


def test_no_process_is_silently_second():
    """3,000 mixtures of the variables of launchers."""
    draw, refused, several = random.Random(0), 0, 0
    pool = {**next(torchrun(1, 1)), **next(slurm(1, 1)), **next(lsf(1, 1)), **next(lightning(1, 1))}
    for _ in range(3000):
        names = draw.sample(sorted(pool), draw.randint(0, 8))
        env = {name: draw.choice(["0", "1", "2", "4", pool[name]]) for name in names}
        try:
            found = processes(env)
        except ValueError as error:
            assert any(name in str(error) for name in env)
            refused += 1
            continue
        if not found.first:
            several += 1
            assert found.launcher != "none" and found.world > 1
        if found.launcher == "none":
            assert found == Processes()
            assert int(env.get("RANK", 0)) == int(env.get("LOCAL_RANK", 0)) == int(env.get("SLURM_PROCID", 0)) == 0
    assert refused > 500 and several > 0


@pytest.mark.parametrize("launch", LAUNCHES)
def test_an_incomplete_launch_is_refused_or_still_right(launch):
    """Each variable left out, of each process; and a rank of another command on top."""
    for env in launch(2, 2):
        whole = processes(env)
        for name in env:
            rest = {key: value for key, value in env.items() if key != name}
            try:
                found = check_processes("auto", 2, rest)
            except ValueError as error:
                assert "set" in str(error)
            else:
                assert (
                    found.first == whole.first or "SLURM" in name or "LSB" in name or found.launcher != whole.launcher
                )
        for name in ("RANK", "LOCAL_RANK"):
            if name not in env and whole.first:
                with pytest.raises(ValueError, match=f"{name}=1"):
                    processes({**env, name: "1"})
