import os

import pytest

from vig_pyg._io.cores import num_cores


@pytest.mark.parametrize("cores", [{0}, {1, 3}, set(range(64))])
def test_only_cores_that_the_process_may_use_count(monkeypatch, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 128)
    assert num_cores() == len(cores)


@pytest.mark.parametrize(("cores", "number"), [(6, 6), (None, 1)])
def test_systems_without_affinity_count_all_cores(monkeypatch, cores, number):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert num_cores() == number
