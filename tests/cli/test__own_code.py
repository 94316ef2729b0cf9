"""Code that a configuration file names is told before it is imported; code of flags is not."""

import sys
from types import ModuleType

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


@pytest.mark.parametrize("form", ["options: {{conv: '{}', k: 4}}", "options.conv: '{}'"])
@pytest.mark.parametrize("given", [["mr"], ["mr", "edge"]])
def test_an_ablation_imports_no_operator_that_its_list_replaces(module, tmp_path, capsys, form, given):
    path, _ = module("replaced_ops")
    (tmp_path / "a.yaml").write_text(form.format(path) + "\n")
    assert main(["ablate", "--config", "a.yaml", "--conv", *given, "--print-config"]) == 0
    said = capsys.readouterr()
    assert said.err == "" and "it runs" not in said.out and path not in said.out and path not in CONVS
    assert main(["ablate", "--config", "a.yaml", "--graph", "knn", "grid", "--print-config"]) == 0
    assert f"names the code {path}" in capsys.readouterr().err and path in CONVS


@pytest.mark.parametrize(
    "others",
    [
        {"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1", "NODE_RANK": "0"},
        {"TORCHELASTIC_RUN_ID": "a", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "3", "MASTER_ADDR": "localhost",
         "MASTER_PORT": "1"},
    ],
)  # fmt: skip
def test_only_the_first_process_tells(module, capsys, monkeypatch, others):
    path, place = module("first_ops")
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    import_named("a.yaml", {"options": {"conv": path}}, {})
    assert capsys.readouterr().err == "" and path in CONVS
    CONVS.remove(path)
    for name in others:
        if name in ("LOCAL_RANK", "RANK"):
            monkeypatch.setenv(name, "0")
    import_named("a.yaml", {"options": {"conv": path}}, {})
    assert f"importing it from {place}" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["conv", "graph"])
@pytest.mark.parametrize("name", ["__main__", "bare_module"])
def test_a_module_without_a_file_is_told_by_its_missing_name(tmp_path, monkeypatch, capsys, key, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, name, ModuleType(name))  # as in an installed command, it has no specification
    (tmp_path / "a.yaml").write_text(f"options: {{{key}: '{name}:Mine'}}\n")
    assert main(["train", "--config", "a.yaml", "--print-config"]) == 2
    told = capsys.readouterr().err
    assert f"{key}={name}:Mine: the module {name} has no 'Mine'." in told and "__spec__" not in told
    assert ("Write the name of the file that defines it, such as my_ops:Mine" in told) == (name == "__main__")
