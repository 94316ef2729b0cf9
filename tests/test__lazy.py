"""Names that are imported when they are first used: the type checker's list, the list at run time, and `__all__`."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

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
    assert set(package.__all__) <= set(dir(package))


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
