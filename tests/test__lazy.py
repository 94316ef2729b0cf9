"""Names that are imported when they are first used: the type checker's list, the list at run time, and `__all__`."""

import ast
import importlib
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vig_pyg import _lazy
from vig_pyg._lazy import imports_when_used

PACKAGES = ["vig_pyg", "vig_pyg.engine", "vig_pyg.classification", "vig_pyg.detection", "vig_pyg.segmentation"]


def for_type_checkers(package):
    """Module and name of each import under `TYPE_CHECKING`."""
    tree = ast.parse(Path(package.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {(node.module, alias.name) for node in block.body for alias in node.names}


@pytest.mark.parametrize("name", PACKAGES)
def test_all_lists_of_names_are_the_same(name):
    package = importlib.import_module(name)
    modules = {**package._MODULES, **getattr(package, "_TRAINING", {})}
    listed = {(module, one) for module, names in modules.items() for one in names}
    rooms = {(name, one) for one in package.__all__} & {(name, one) for one in ("conv", "graph", "weights")}
    assert for_type_checkers(package) == listed | rooms
    assert sorted(package.__all__) == sorted(one for _, one in listed | rooms)
    for module, one in listed:
        assert getattr(package, one) is getattr(importlib.import_module(module), one)
        assert not (Path(package.__file__).parent / f"{one}.py").exists()  # importing it would hide the name


@pytest.mark.parametrize("name", PACKAGES)
def test_unknown_names_are_errors_of_python(name):
    package = importlib.import_module(name)
    for unknown in ("nothing", "_nothing", "__wrapped__", "Nothing"):
        assert not hasattr(package, unknown)
        with pytest.raises(ImportError, match=f"cannot import name '{unknown}'"):
            exec(f"from {name} import {unknown}")  # the statement itself
    for path in ("nothing.more", "data.more", "..", "", "a b", "\0"):  # no name has a dot, even if a module is there
        assert not hasattr(package, path)
    shown = dir(package)
    assert set(package.__all__) <= set(shown) and not {"TYPE_CHECKING", "imports_when_used", "names_of"} & set(shown)
    files = {
        path.stem
        for path in Path(package.__file__).parent.iterdir()
        if (path / "__init__.py").is_file() or path.suffix == ".py"
    }
    assert {file for file in files if not file.startswith("_")} <= set(shown)


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("vig_pyg", "PyramidVig", "PyramidViG"),
        ("vig_pyg", "pvig_smal", "pvig_small"),
        ("vig_pyg.detection", "retinanet_vig", "retinanet_pvig"),
        ("vig_pyg.classification", "load_clasifier", "load_classifier"),
    ],
)
def test_python_suggests_the_name_that_was_meant(name, typed, meant):
    package = importlib.import_module(name)
    with pytest.raises(AttributeError) as error:
        getattr(package, typed)
    assert (error.value.name, error.value.obj) == (typed, package)
    done = subprocess.run([sys.executable, "-c", f"import {name}; {name}.{typed}"], capture_output=True, text=True)
    assert f"has no attribute '{typed}'. Did you mean: '{meant}'?" in done.stderr


def test_a_module_is_imported_when_it_is_used(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "__init__.py").write_text("")
    for module in ("one", "two"):
        (tmp_path / "late" / f"{module}.py").write_text(f"{module.upper()} = {module!r}")
    package = importlib.import_module("late")
    package.__getattr__ = imports_when_used("late", {"late.one": ["ONE"]})
    assert "late.one" not in sys.modules
    assert package.ONE == "one" and vars(package)["ONE"] == "one" and "late.two" not in sys.modules
    assert package.two.TWO == "two"
    for name in ("late", "late.one", "late.two"):
        monkeypatch.delitem(sys.modules, name)


@pytest.fixture
def circle(tmp_path, monkeypatch):
    """A package with two modules that import each other, and record when they begin and end."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "circle"
    folder.mkdir()
    (folder / "__init__.py").write_text("steps = []\n")
    for one, other in (("left", "right"), ("right", "left")):
        code = f"""
            import time
            import circle
            circle.steps.append("begin {one}")
            time.sleep(0.05)
            import circle.{other}
            {one.upper()} = 1
            circle.steps.append("end {one}")
        """
        (folder / f"{one}.py").write_text(textwrap.dedent(code))
    yield importlib.import_module("circle")
    for name in ("circle", "circle.left", "circle.right"):
        sys.modules.pop(name, None)


def test_threads_import_one_after_the_other(circle):
    get = imports_when_used("circle", {"circle.left": ["LEFT"], "circle.right": ["RIGHT"]})
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(get, ["LEFT", "RIGHT"])) == [1, 1]
    first, second = ("left", "right") if circle.steps[0] == "begin left" else ("right", "left")
    assert circle.steps == [f"begin {first}", f"begin {second}", f"end {second}", f"end {first}"]


def test_a_thread_does_not_wait_forever(circle, monkeypatch):
    monkeypatch.setattr(_lazy, "_PATIENCE", 0.01)
    get = imports_when_used("circle", {"circle.left": ["LEFT"]})
    with ThreadPoolExecutor(1) as pool, _lazy._lock:  # this thread holds the lock and waits for the other one
        assert pool.submit(get, "LEFT").result(timeout=60) == 1
    assert _lazy._lock.acquire(timeout=0)
    _lazy._lock.release()
