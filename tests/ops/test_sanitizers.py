"""The kernels built with AddressSanitizer and UBSan: their tests, and random calls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g", "-O1"]
#: Tests in a process whose kernels are those of a file.
TESTS = """
import sys
from pathlib import Path

import pytest

from vig_pyg.ops import _native

_native.candidates = lambda: [Path(sys.argv[1])]
assert _native.library() is not None
# the kernels are imported already, and where they are looked for is not asked here
options = ["-p", "no:cacheprovider", "--assert=plain", "-k", "not a_missing_library"]
sys.exit(pytest.main(["-q", *options, *sys.argv[2:]]))
"""


def runtime(name):
    """A library of the compiler, or nothing."""
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
    return found.strip() if Path(found.strip()).is_absolute() else ""


def has_sanitizers():
    return shutil.which("gcc") is not None and bool(runtime("libasan.so")) and bool(runtime("libubsan.so"))


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_sanitizers(), reason="gcc with AddressSanitizer and UBSan is needed"),
]


def built(folder, level):
    """The kernels with sanitizers, for CPUs up to a level (see `LEVEL` in cpu.c)."""
    source, compiled, library = ROOT / "vig_pyg" / "ops" / "cpu.c", folder / "cpu.o", folder / f"cpu{level}.so"
    compile_ = ["gcc", *FLAGS, "-fopenmp", "-Wno-psabi", "-fPIC", f"-DLEVEL={level}", "-c", source, "-o", compiled]
    for command in (compile_, ["gcc", "-shared", *FLAGS, compiled, "-o", library]):  # OpenMP is torch's
        subprocess.run(list(map(str, command)), check=True)
    return library


def run(*arguments, timeout):
    """A Python process in which a report of a sanitizer ends the program."""
    env = {
        **os.environ,
        "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "OMP_NUM_THREADS": "2",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def test_a_fault_is_reported(tmp_path):
    code = (
        "from tests.ops.test_sanitizers import Path; from vig_pyg.ops import _native; import torch;"
        f"library = _native.load(Path({str(built(tmp_path, 5))!r})); x = torch.zeros(4, dtype=torch.long);"
        "library.vig_first_edges(x.data_ptr(), x.data_ptr(), 4, 1, 20, x.data_ptr(), 1)"
    )
    done = run("-c", code, timeout=600)
    assert done.returncode and "AddressSanitizer: heap-buffer-overflow" in done.stderr, done.stderr[-2000:]


@pytest.mark.parametrize("architecture", ["native", "x86-64", "nocona", "haswell", "skylake-avx512", "znver3"])
def test_the_kernels_compile_for_any_architecture(tmp_path, architecture):
    source = ROOT / "vig_pyg" / "ops" / "cpu.c"
    command = ["gcc", f"-march={architecture}", "-O1", "-fopenmp", "-Wno-psabi", "-fPIC", "-c", source]
    done = subprocess.run(
        [*map(str, command), "-o", str(tmp_path / "cpu.o")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[:2000]


@pytest.mark.parametrize("level", [1, 3, 4, 5])
def test_the_tests_of_the_kernels_pass_without_a_report(tmp_path, level):
    library = built(tmp_path, level)
    names = ["test__knn", "test__max_relative", "test__batch_norm", "test_rows"]
    done = run("-c", TESTS, library, *(f"tests/ops/{name}.py" for name in names), timeout=1200)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.parametrize(("level", "calls"), [(1, 20_000), (3, 20_000), (4, 60_000), (5, 60_000)])
def test_random_calls_without_a_report(tmp_path, level, calls):
    library, last = built(tmp_path, level), tmp_path / "last"
    seed = ["--seed", level, "--calls", calls, "--share", 0.1, "--trace", last]
    done = run("-m", "tests.ops.fuzz", "--library", library, *seed, timeout=3600)
    assert done.returncode == 0, f"{last.read_text()}{done.stdout[-4000:]}{done.stderr[-6000:]}"
