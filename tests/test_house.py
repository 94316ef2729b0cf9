"""How the package is built: rooms, sizes, mirrors, silence."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vig_pyg"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [str(path.relative_to(PACKAGE)) for path in FILES]

CORE = {
    "image_io",
    "batch_order",
    "layout",
    "data",
    "foreign_batch",
    "position",
    "ops",
    "graph",
    "conv",
    "layers",
    "stem",
    "head",
    "fuse",
    "block",
    "local",
    "config",
    "family_config",
    "preprocess",
    "checkpoints",
    "weights",
    "models",
    "artifact",
    "builders",
    "family_builders",
    "backbones",
}
#: What each room may import of the others. Each may import `_warnings`, and nobody imports `cli`.
ROOMS = {
    "_lazy": set(),
    "_image_values": {"_io"},
    "_waiting": set(),
    "_allocator": {"_waiting"},
    "_warnings": set(),
    "_registry": {"_io"},
    "_numbers": set(),
    "_io": set(),
    "image_io": {"_io"},
    "_figure": {"_requirements"},
    "_fonts": {"_io"},
    "_palette": {"_color_vision"},
    "_color_vision": set(),
    "_predictor": set(),
    "_requirements": set(),
    "batch_order": set(),
    "layout": {"batch_order"},
    "data": {"layout", "ops"},
    "foreign_batch": {"batch_order", "data"},
    "ops": {"_io"},
    "layers": {"ops"},
    "position": {"data", "ops"},
    "graph": {"_registry", "_requirements", "data", "position", "ops", "_kept"},
    "conv": {"_registry", "layers", "ops"},
    "stem": {"ops"},
    "head": {"_numbers", "layers", "position"},
    "_low_precision": {"_kept", "layers"},
    "_fused_layers": {"_low_precision", "layers", "ops", "position"},
    "fuse": {"_fused_layers", "_low_precision", "head", "layers", "local", "conv", "ops", "position"},
    "_own_flags": {"_registry", "conv", "graph"},
    "_kept": set(),
    "local": {"data", "layers", "stem"},
    "_own_parts": {"_registry", "conv", "graph"},
    "block": {"_own_parts", "data", "graph", "conv", "layers", "local", "ops", "position"},
    "config": {"_numbers", "_io", "_registry", "conv", "graph", "position"},
    "family_config": {"config", "conv", "graph", "position"},
    "preprocess": {"image_io", "_image_values"},
    "interchange": {"config", "preprocess", "_image_values"},
    "config_schema": {
        "_image_values",
        "_registry",
        "config",
        "family_config",
        "conv",
        "graph",
        "position",
        "preprocess",
        "_io",
    },
    "checkpoints": {"_io", "_requirements", "config", "conv", "graph"},
    "artifact": {"_io", "checkpoints", "config", "config_schema", "conv", "graph", "interchange", "preprocess"},
    "weights": {"_io", "checkpoints", "config", "preprocess"},
    "builders": {"config", "models", "weights"},
    "family_builders": {"builders", "models"},
    "timm": {"_requirements", "checkpoints", "config", "family_config", "data", "interchange", "models", "weights"},
    "models": {
        "_requirements",
        "foreign_batch",
        "stem",
        "local",
        "block",
        "head",
        "data",
        "family_config",
        "conv",
        "graph",
        "layers",
        "position",
        "fuse",
        "config",
        "config_schema",
        "artifact",
        "preprocess",
        "checkpoints",
        "_io",
        "ops",
    },
    "_trained_backbone": {
        "_io",
        "artifact",
        "checkpoints",
        "config",
        "config_schema",
        "interchange",
        "models",
        "weights",
    },
    "backbones": {"_trained_backbone", "_io", "artifact", "config", "config_schema", "graph", "models", "weights"},
    "testing": {"_own_parts", "models", "conv", "graph", "data"},
    "macs": {"models"},
    "export": {"_requirements", "models", "data", "graph", "ops"},
    "transforms": {"_requirements", "data", "graph"},
    "explain": {"image_io", "_requirements", "models", "data", "ops", "_figure", "_io", "_palette"},
    "engine": {
        "_lazy",
        "_own_flags",
        "_io",
        "_requirements",
        "artifact",
        "checkpoints",
        "layers",
        "models",
        "weights",
        "_figure",
        "_palette",
    },
    "classification": {
        "_lazy",
        "_image_values",
        "_predictor",
        "_registry",
        "interchange",
        "_requirements",
        "artifact",
        "builders",
        "_io",
        "engine",
        "config",
        "family_config",
        "config_schema",
        "conv",
        "graph",
        "image_io",
        "models",
        "checkpoints",
        "weights",
        "preprocess",
        "explain",
        "macs",
        "_figure",
        "_fonts",
        "_palette",
    },
    "detection": {
        "_lazy",
        "_trained_backbone",
        "_image_values",
        "_predictor",
        "_requirements",
        "interchange",
        "preprocess",
        "artifact",
        "backbones",
        "checkpoints",
        "_io",
        "config",
        "config_schema",
        "data",
        "image_io",
        "models",
        "weights",
        "classification",
        "engine",
        "_figure",
        "_fonts",
        "_palette",
    },
    "segmentation": {
        "_lazy",
        "_trained_backbone",
        "_image_values",
        "_predictor",
        "_registry",
        "interchange",
        "ops",
        "_requirements",
        "artifact",
        "backbones",
        "checkpoints",
        "_io",
        "config",
        "config_schema",
        "data",
        "export",
        "image_io",
        "models",
        "preprocess",
        "weights",
        "classification",
        "detection",
        "engine",
        "_figure",
        "_fonts",
        "_color_vision",
        "_palette",
    },
    "loading": {"artifact", "classification", "detection", "segmentation", "models"},
    "cli": {
        *CORE,
        "loading",
        "_registry",
        "_own_flags",
        "_trained_backbone",
        "engine",
        "explain",
        "macs",
        "classification",
        "detection",
        "segmentation",
        "_palette",
        "_figure",
        "_io",
        "_requirements",
    },
    "__main__": {"cli"},
    "__init__": {*CORE, "_waiting", "_allocator", "_lazy", "loading"},
}


def room(path):
    """The room of a file: its name, or its folder's."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path):
    """Dotted names that a file imports, wherever in the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


def neighbors(path):
    """Other rooms that a file imports."""
    parts = [name.split(".") for name in imported(path)]
    ours = [part[1] if len(part) > 1 else "__init__" for part in parts if part[0] == "vig_pyg"]
    return {name if name in ROOMS else "__init__" for name in ours} - {room(path), "_warnings"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_arrows_point_down(path):
    assert neighbors(path) <= ROOMS[room(path)]


def test_the_table_of_rooms_has_no_circle():
    done = set()
    while len(done) < len(ROOMS):
        ready = {name for name, below in ROOMS.items() if name not in done and below <= done}
        assert ready, f"in a circle: {set(ROOMS) - done}"
        done |= ready


def test_torch_cluster_has_one_room():
    users = {str(path.relative_to(PACKAGE)) for path in FILES if any("torch_cluster" in n for n in imported(path))}
    assert users == {"graph/cluster.py"}


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert len(text.splitlines()) < 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1 - len((ast.get_docstring(node) or "").splitlines())
            assert lines < 50, f"{node.name} has {lines} lines without its docstring"


@pytest.mark.parametrize("name", [name for name in NAMES if not Path(name).name.startswith("_")])
def test_every_file_has_its_test(name):
    mirror = Path(name).parent / f"test_{Path(name).name}"
    assert (ROOT / "tests" / mirror).is_file()


@pytest.mark.parametrize("path", [path for path in FILES if room(path) != "cli"], ids=lambda path: path.stem)
def test_the_library_does_not_print(path):
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id == "print"]


USERS_OF_PYG = [path for path in FILES if any(name.startswith("torch_geometric") for name in imported(path))]


@pytest.mark.parametrize("path", USERS_OF_PYG, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_pyg_is_imported_without_its_warnings(path):
    """`import vig_pyg` does not import PyG, so each file may be the first that does: `_warnings` is imported before."""
    packages = [folder / "__init__.py" for folder in path.parents if PACKAGE in folder.parents]
    for file in (*packages, path):
        before = re.split(r"\n(?:from|import) torch_geometric", file.read_text())[0]
        if "\nfrom vig_pyg import _warnings" in before or "(it imports PyG without its warnings)" in before:
            return
    assert room(path) in ("_warnings", "cli")  # a command imports it for type checkers only


COLLECTIONS = {"set", "frozenset", "list", "tuple", "sorted", "dict"}


def rebuilt(tree):
    """Lines of comprehensions that build a collection again for each item, to look the item up in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            values = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            for part in values + [condition for loop in node.generators for condition in loop.ifs]:
                for one in ast.walk(part):
                    looks_up = isinstance(one, ast.Compare) and isinstance(one.ops[0], ast.In | ast.NotIn)
                    found = one.comparators if looks_up else []
                    if any(isinstance(f, ast.Call) and getattr(f.func, "id", "") in COLLECTIONS for f in found):
                        yield one.lineno


@pytest.mark.parametrize("line", ["[i for i in a if i not in set(b)]", "{i: j for i, j in a if i in sorted(b)}"])
def test_a_collection_that_is_built_for_each_item_is_found(line):
    assert list(rebuilt(ast.parse(line))) == [1]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_no_collection_is_built_again_for_each_item(path):
    assert not list(rebuilt(ast.parse(path.read_text())))


def test_import_is_silent():
    code = "import vig_pyg, vig_pyg.testing"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_changes_no_global_setting():
    code = (
        "import random, torch, warnings; state = random.getstate(), torch.get_rng_state().sum().item();"
        "before = (state, torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads());"
        "import vig_pyg.testing; state = random.getstate(), torch.get_rng_state().sum().item();"
        "assert before == (state, torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads());"
        "assert not [f for f in warnings.filters if 'torch-cluster' in str(f[1])]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_package_is_typed():
    assert (PACKAGE / "py.typed").is_file()


def test_the_first_level_holds_nothing_else():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository")
    first = {name.partition("/")[0] for name in listed.stdout.splitlines()}
    seen = {name for name in first if not name.startswith(".")}
    assert seen == {"vig_pyg", "examples", "tests", "pyproject.toml", "README.md", "LICENSE"}
