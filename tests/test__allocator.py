"""Commands keep freed memory; programs that import the library, and users who have chosen, keep their settings."""

import os
import subprocess
import sys

import pytest

from vig_pyg._allocator import CHOICES, _mallopt, keep_freed_memory

COMMAND = ["python", "-m", "vig_pyg", "train"]


class Allocator:
    """Notes the settings it gets; it takes values up to `most`."""

    def __init__(self, most=2**40):
        self.most, self.calls, self.taken = most, [], []

    def __call__(self, parameter, value):
        self.calls.append((parameter, value))
        if value <= self.most:
            self.taken.append((parameter, value))
        return int(value <= self.most)


def test_a_command_keeps_memory():
    allocator = Allocator()
    assert keep_freed_memory(COMMAND, {"MALLOC_ARENA_MAX": "2"}, lambda: allocator)
    assert allocator.calls == [(-3, 2**30), (-1, 2**30)]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_user_s_choice_is_kept(choice):
    allocator = Allocator()
    assert not keep_freed_memory(COMMAND, {choice: "0"}, lambda: allocator) and not allocator.calls


@pytest.mark.parametrize(
    "arguments", [["python", "train.py"], ["python", "-m", "pytest"], ["python"], ["python", "-c", "1"]]
)
def test_programs_keep_their_settings(arguments):
    allocator = Allocator()
    assert not keep_freed_memory(arguments, {}, lambda: allocator) and not allocator.calls


def test_older_versions_take_a_smaller_threshold():
    """They refuse large ones; the other setting alone would make every tensor a new mapping."""

    class Older(Allocator):
        def __call__(self, parameter, value):
            self.most = 2**25 if parameter == -3 else 2**40
            return super().__call__(parameter, value)

    allocator = Older()
    assert keep_freed_memory(COMMAND, {}, lambda: allocator)
    assert allocator.taken == [(-3, 2**25), (-1, 2**30)]


def test_other_libraries_and_refusals_change_nothing():
    assert not keep_freed_memory(COMMAND, {}, lambda: None)
    refusing = Allocator(0)
    assert not keep_freed_memory(COMMAND, {}, lambda: refusing) and not refusing.taken
    assert all(parameter == -3 for parameter, _ in refusing.calls)


@pytest.mark.skipif(_mallopt() is None, reason="this C library has no such settings")
def test_the_real_allocator_takes_the_settings_and_has_fewer_page_faults():
    script = """
import resource, sys
from vig_pyg._allocator import _mallopt, keep_freed_memory
keep_freed_memory(sys.argv[1:], {}, _mallopt)
def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        bytearray(b"1") * 2**26
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
page_faults()
print(page_faults())
"""
    chosen = {key: value for key, value in os.environ.items() if key not in CHOICES}
    faults = [
        int(subprocess.run([sys.executable, "-c", script, *a], check=True, capture_output=True, env=chosen).stdout)
        for a in (COMMAND, ["python", "program.py"])
    ]
    assert faults[0] < faults[1] / 10
