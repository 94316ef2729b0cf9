"""What `uv build` makes installs elsewhere, with the kernels compiled; only flags that the compiler has are passed."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from vig_pyg.ops._native import _SIGNATURES, candidates, load

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_COPIED = shutil.ignore_patterns(".git", ".venv", "runs", "build", "__pycache__", "*.so", "*.egg-info", ".*_cache")
KERNELS = PROJECT["tool"]["setuptools"]["ext-modules"][0]
IN_A_CLEAN_ENVIRONMENT = """
import importlib.util, sys
import torch, vig_pyg
from vig_pyg.ops import has_native_kernels
from vig_pyg.ops._native import library
assert sys.prefix in vig_pyg.__file__ and sys.prefix in library()._name, (vig_pyg.__file__, library())
assert has_native_kernels() and not importlib.util.find_spec("torch_cluster")
assert vig_pyg.vig_micro().eval()([torch.rand(3, 64, 96), torch.rand(3, 32, 64)]).shape == (2, 1000)
"""

#: Files of a folder that was used, which no archive needs.
LEFT_BEHIND = {
    "runs/digits/README.md",
    "examples/runs/mine/README.md",
    "examples/notebooks/runs/mine/README.md",
    "tests/runs/mine/config.json",
    "examples/notebooks/.ipynb_checkpoints/1_image_to_graph.ipynb",
    "tests/__pycache__/common.cpython-311.pyc",
    "vig_pyg/ops/_cpu.cpython-311-x86_64-linux-gnu.so",
    "photo.onnx",
}

#: In a process of its own, because importing setuptools replaces distutils.
SETUP = """
import importlib.util, json, sys
from pathlib import Path
from types import SimpleNamespace
from setuptools.dist import Distribution
from setuptools.errors import CompileError

spec = importlib.util.spec_from_file_location("vig_pyg_compile", "vig_pyg/ops/_compile.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

class Compiler:
    compiler_type = "unix"
    def __init__(self, flags, clang):
        self.flags, self.clang = flags, clang
    def compile(self, sources, *, output_dir, extra_postargs):
        refused = self.clang and "__clang__" in Path(sources[0]).read_text()
        if refused or not set(extra_postargs) <= set(self.flags):
            raise CompileError("unsupported option")

kernels, cases = json.loads(sys.argv[1])
found = []
for platform, clang, missing in cases:
    script.sys = SimpleNamespace(platform=platform)
    command = script.BuildKernels(Distribution())
    flags = kernels["extra-compile-args"]
    command.compiler = Compiler([flag for flag in flags if flag not in missing], clang)
    found.append([flag for flag in flags if command.supports(flag)])
print(json.dumps([found, command.get_export_symbols(SimpleNamespace(sources=kernels["sources"]))]))
"""
#: Operating system, whether the compiler is Clang, flags that it lacks, and whether OpenMP is used.
CASES = [
    ("linux", False, [], True),
    ("linux", True, [], False),  # its code calls a library that torch has not loaded
    ("linux", False, ["-fopenmp"], False),
    ("linux", False, ["-Wno-psabi"], True),
    ("darwin", True, ["-fopenmp", "-Wno-psabi"], False),
    ("win32", False, [], False),
]


def test_only_flags_that_the_compiler_has_are_passed():
    given = json.dumps([KERNELS, [case[:3] for case in CASES]])
    found, exported = json.loads(run([sys.executable, "-c", SETUP, given], ROOT).stdout)
    flags = set(KERNELS["extra-compile-args"])
    for (*_, missing, openmp), used in zip(CASES, found, strict=True):
        assert set(used) == flags - set(missing) - (set() if openmp else {"-fopenmp"})
    assert set(exported) == set(_SIGNATURES)


def test_the_kernels_depend_on_all_files_that_they_include():
    files = [*KERNELS["sources"], *KERNELS["depends"]]
    included = {name for one in files for name in re.findall(r'#include "(.+)"', (ROOT / one).read_text())}
    assert {Path(one).name for one in KERNELS["depends"]} == included


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("flags", [[], ["-fopenmp"]], ids=["one thread", "OpenMP"])
def test_the_kernels_compile_with_and_without_openmp(flags, tmp_path):
    """Compiling without optimization is quick."""
    out = tmp_path / candidates()[0].name
    command = ["gcc", "-O0", "-w", "-shared", "-fPIC", *flags, KERNELS["sources"][0], "-o", out]
    subprocess.run(command, cwd=ROOT, check=True)
    assert load(out).vig_version() > 0


def run(command, cwd, **changed):
    """Run a command that must succeed, outside this environment."""
    kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    done = subprocess.run(command, cwd=cwd, env={**kept, **changed}, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def source_archive(tmp_path_factory):
    """The source archive of a copy of this folder that was used: with what runs, Python and Jupyter leave behind."""
    folder = tmp_path_factory.mktemp("archive")
    copy = folder / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    for name in LEFT_BEHIND:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(b"left behind")
    build = "from setuptools import build_meta; import sys; build_meta.build_sdist(sys.argv[1])"
    run([sys.executable, "-c", build, str(folder)], copy)
    (path,) = folder.glob("*.tar.gz")
    return path


def names_in(archive):
    with tarfile.open(archive) as file:
        return {entry.name.partition("/")[2] for entry in file if entry.isfile()}


def test_the_source_archive_holds_what_a_reader_needs(source_archive):
    names = names_in(source_archive)
    assert {
        "LICENSE",
        "README.md",
        "pyproject.toml",
        "vig_pyg/py.typed",
        "vig_pyg/explain/page.html",
    } <= names
    kinds = ["tests/**/*.py", "vig_pyg/**/*.py", "vig_pyg/ops/*.[ch]", "examples/*.py", "examples/benchmarks/*.py",
             "examples/guides/*.md", "examples/notebooks/*.ipynb", "examples/site/**/*.*",
             "examples/**/README.md"]  # fmt: skip
    for kind in kinds:
        wanted = {str(path.relative_to(ROOT)) for path in ROOT.glob(kind) if "__pycache__" not in path.parts}
        assert wanted and wanted <= names, (kind, wanted - names)


def test_the_source_archive_is_small(source_archive):
    assert source_archive.stat().st_size < 3_000_000
    names = names_in(source_archive)
    assert not names & LEFT_BEHIND
    heavy = {".png", ".jpg", ".npz", ".csv", ".so", ".pyc"}
    assert {name for name in names if Path(name).suffix in heavy} == {"examples/images/photo.png"}
    assert not [name for name in names if name.startswith("examples/benchmarks/results/") and name.endswith(".json")]
    assert not [name for name in names if name.startswith((".", "runs", "build"))]


def test_links_of_the_first_page_lead_into_the_source_archive(source_archive):
    names = names_in(source_archive)
    links = re.findall(r"\]\(([^)\s]+)\)", (ROOT / "README.md").read_text())
    inside = {link.partition("#")[0] for link in links if not link.startswith("https://")} - {""}
    assert len(inside) > 10 and inside <= names, inside - names


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The files that `uv build` makes of a copy of this folder."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "copy", ignore=NOT_COPIED)
    run(["uv", "build", "--out-dir", str(folder / "dist")], folder / "copy")
    return folder


@pytest.mark.slow
def test_the_archives_contain_what_they_need(built):
    (wheel,), (sdist,) = (built / "dist").glob("*.whl"), (built / "dist").glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert [name for name in names if Path(name).name == candidates()[0].name]
    assert {"vig_pyg/py.typed", "vig_pyg/explain/page.html"} <= set(names)
    assert not [name for name in names if name.endswith((".c", ".h")) or name.startswith("tests")]
    with tarfile.open(sdist) as file:
        sources = {name.partition("/")[2] for name in file.getnames()}
    assert {"vig_pyg/ops/_compile.py", "pyproject.toml", "LICENSE", *KERNELS["sources"], *KERNELS["depends"]} <= sources
    assert not [name for name in sources if name.endswith(".so")]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["dist/*.whl", "dist/*.tar.gz", "copy"])
def test_it_installs_in_a_clean_environment_with_kernels(what, built, tmp_path):
    (source,) = built.glob(what)
    where = tmp_path / "environment"
    run(["uv", "venv", "--python", sys.executable, str(where)], tmp_path)
    for offline in (["--offline"], []):  # build tools and libraries may be in the cache
        command = ["uv", "pip", "install", *offline, "--python", str(where), str(source)]
        try:
            run(command, tmp_path, UV_HTTP_TIMEOUT="600")
            break
        except AssertionError:
            if not offline:
                raise
    python = str(where / "bin" / "python")
    run([python, "-W", "error", "-c", IN_A_CLEAN_ENVIRONMENT], tmp_path)
    run([str(where / "bin" / "vig-pyg"), "--version"], tmp_path)
