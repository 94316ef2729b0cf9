"""The bounds of `pyproject.toml` are true: the suite passes with the oldest and the newest versions that it allows."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NOT_COPIED = shutil.ignore_patterns(
    ".venv", "runs", "build", "uv.lock", "__pycache__", "*.so", "*.egg-info", ".*_cache"
)
#: Where the name of the module is not that of the distribution.
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "sklearn": "scikit-learn", "skimage": "scikit-image"}
#: Modules that come with torch, and are used only where it brought them.
WITH_TORCH = {"triton"}
#: Modules that only type checkers know.
FOR_TYPES = {"_typeshed"}


def requirements():
    """All requirements of the package and its extras, but those on the package itself."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    everything = [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]
    return [one for one in everything if not one.startswith("vig-pyg[")]


def name_of(requirement):
    return requirement.partition(">=")[0].partition("[")[0].lower().replace("_", "-")


def imported_modules():
    """First parts of all modules that the package imports, anywhere in a file."""
    for path in (ROOT / "vig_pyg").rglob("*.py"):
        if path.name == "_compile.py":  # it is used only to build the package
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


def test_every_requirement_has_a_lower_bound():
    assert [one for one in requirements() if ">=" not in one] == []


def test_every_import_is_declared():
    declared = {name_of(one) for one in requirements()}
    modules = set(imported_modules()) - sys.stdlib_module_names - {"vig_pyg"} - WITH_TORCH - FOR_TYPES
    used = {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in modules}
    assert used - declared == set()
    assert {"torch", "numpy", "pillow"} <= used


@pytest.mark.slow
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_suite_passes(resolution, tmp_path):
    """The first time, torch_cluster and torch_scatter are built for another torch: ten minutes more."""
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    copy = tmp_path / "copy"
    shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
    kept = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
    env = {**kept, "UV_PROJECT_ENVIRONMENT": str(tmp_path / "environment"), "UV_HTTP_TIMEOUT": "600"}
    for command in (["sync", "--resolution", resolution], ["run", "--no-sync", "pytest", "-q"]):
        done = subprocess.run(["uv", *command], cwd=copy, env=env, capture_output=True, text=True)
        assert done.returncode == 0, "\n".join([*done.stdout.splitlines()[-60:], *done.stderr.splitlines()[-40:]])
