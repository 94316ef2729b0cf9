"""Code that a configuration file names is told before it is imported; code of flags is not."""

import sys

import pytest

from vig_pyg.cli import main
from vig_pyg.cli._own_code import import_named
from vig_pyg.conv import CONVS

CODE = "print('it runs')\nfrom vig_pyg.conv import MaxRelativeConv\nclass Mine(MaxRelativeConv): pass\n"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write modules into the current folder, and forget them after the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made = []

    def write(name):
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(CODE)
        made.append(name)
        return f"{name}:Mine", path if "." not in name else path.parent

    yield write
    for name in made:
        sys.modules.pop(name, None)
        CONVS._registered.pop(f"{name}:Mine", None)


@pytest.mark.parametrize("name", ["told_ops_1", "told_folder.ops"])
@pytest.mark.parametrize("form", [lambda path: {"options": {"conv": path}}, lambda path: {"options.conv": path}])
def test_a_file_tells_what_it_imports_and_from_where(module, capsys, name, form):
    path, place = module(name)
    import_named("a.yaml", form(path), {})
    said = capsys.readouterr()
    assert said.err == f"vig-pyg: a.yaml names the code {path}: importing it from {place}\n"
    assert said.out == "it runs\n"


def test_flags_are_silent_and_replace_the_code_of_the_file(module, capsys):
    file, flag = module("told_ops_2")[0], module("told_ops_3")[0]
    import_named("a.yaml", {"options": {"conv": file, "k": 3}}, {"options.conv": flag})
    assert capsys.readouterr().err == "" and flag in CONVS and file not in CONVS


@pytest.mark.parametrize("command", ["train", "detect train", "segment train", "ablate"])
def test_every_command_with_a_file_tells(module, tmp_path, capsys, command):
    path, place = module(f"told_by_{command.replace(' ', '_')}")
    files = "" if command in ("train", "ablate") else "train: a\nval: b\n"
    (tmp_path / "a.yaml").write_text(f"{files}options: {{conv: '{path}'}}\n")
    assert main([*command.split(), "--config", "a.yaml", "--print-config"]) == 0
    assert f"vig-pyg: a.yaml names the code {path}: importing it from {place}\n" in capsys.readouterr().err
    assert main([*command.split(), "--conv", path, *files.split()[:0], "--config", "a.yaml", "--print-config"]) == 0
    assert "importing" not in capsys.readouterr().err
