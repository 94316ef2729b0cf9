"""Commands keep freed memory; programs that import the library, and users who have chosen, keep their settings."""

import os
import subprocess
import sys

import pytest

from vig_pyg._allocator import CHOICES, _mallopt, keep_freed_memory

COMMAND = ["python", "-m", "vig_pyg", "train"]


class Allocator:
    """Notes the settings it gets."""

    def __init__(self, answer=1):
        self.answer, self.calls = answer, []

    def __call__(self, parameter, value):
        self.calls.append((parameter, value))
        return self.answer


def test_a_command_keeps_memory():
    allocator = Allocator()
    assert keep_freed_memory(COMMAND, {"MALLOC_ARENA_MAX": "2"}, allocator)
    assert allocator.calls == [(-1, 2**30), (-3, 2**30)]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_user_s_choice_is_kept(choice):
    allocator = Allocator()
    assert not keep_freed_memory(COMMAND, {choice: "0"}, allocator) and not allocator.calls


@pytest.mark.parametrize(
    "arguments", [["python", "train.py"], ["python", "-m", "pytest"], ["python"], ["python", "-c", "1"]]
)
def test_programs_keep_their_settings(arguments):
    allocator = Allocator()
    assert not keep_freed_memory(arguments, {}, allocator) and not allocator.calls


def test_other_libraries_and_refusals_change_nothing():
    assert not keep_freed_memory(COMMAND, {}, None)
    assert not keep_freed_memory(COMMAND, {}, Allocator(0))


@pytest.mark.skipif(_mallopt() is None, reason="this C library has no such settings")
def test_the_real_allocator_takes_the_settings_and_has_fewer_page_faults():
    script = """
import resource, sys
from vig_pyg._allocator import _mallopt, keep_freed_memory
keep_freed_memory(sys.argv[1:], {}, _mallopt())
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
