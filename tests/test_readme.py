import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "benchmarks"))
    yield
    for name in ("readme", "harness"):
        sys.modules.pop(name, None)


@pytest.fixture
def registries():
    """What the examples register is forgotten."""
    from vig_pyg.config import MODELS
    from vig_pyg.conv import CONVS
    from vig_pyg.graph import GRAPHS

    before = [(registry, list(registry)) for registry in (MODELS, CONVS, GRAPHS)]
    yield
    for registry, names in before:
        for name in [name for name in registry if name not in names]:
            registry.remove(name)


def test_lists_name_all_that_is_registered():
    from vig_pyg import list_convs, list_graphs, list_models
    from vig_pyg.classification.readers import list_readers

    assert all(f'"{name}"' in README for name in list_convs())
    assert all(f'| `"{name}"`' in README for name in list_graphs())
    assert all(f"`{name}`" in README for name in list_models())
    assert all(f"`{prefix}/" in README for prefix in list_readers())


def test_python_examples_run(registries):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len(blocks) >= 4
    scope = {}
    for block in blocks:
        exec(block, scope)
    assert scope["logits"].shape == (2, 10)
    assert [m.shape[1] for m in scope["maps"]] == [48, 96, 240, 384]
    assert scope["edge_index"].shape[0] == 2
    import torch

    assert scope["rings"].eval()(torch.rand(2, 3, 32, 32)).isfinite().all()


def test_tables_are_those_of_the_result_files(benchmarks):
    import readme

    assert "fuse()" in readme.inference()
    assert all(f"<!-- {name} -->\n| " in README for name in readme.TABLES)
    assert readme.rendered(README) == README


def test_the_table_of_weights_is_that_of_the_package():
    from vig_pyg import weights

    assert f"<!-- weights -->\n{weights.as_markdown()}\n<!-- /weights -->" in README


def test_commands_exist():
    from vig_pyg.cli import _parser

    lines = README.replace("\\\n", " ")
    for line in re.findall(r"^(?:uv run|torchrun .*--no-python) vig-pyg ([^#\n]*[^#\n\s])", lines, flags=re.MULTILINE):
        args = _parser().parse_args(shlex.split(line))
        assert callable(args.run)
        if hasattr(args, "make_parser"):  # flags that are made when the command runs
            args.make_parser().parse_flags(args.argv)


def test_pictures_exist():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file()


def test_the_ci_runs_the_test_command():
    assert "uv run pytest" in README
    assert "\nuv run pytest -n 2\n" in (ROOT / ".ci" / "run").read_text()
