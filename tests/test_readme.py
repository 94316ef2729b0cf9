import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDES = {path.name: path for path in sorted((ROOT / "examples" / "guides").glob("*.md"))}
DOCUMENTS = [ROOT / "README.md", *GUIDES.values()]
each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)


def guide(name):
    return GUIDES[f"{name}.md"].read_text()


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

    models = README + guide("family")
    assert all(f'"{name}"' in README and f'"{name}"' in guide("graphs") for name in list_convs())
    assert all(f'| `"{name}"`' in guide("graphs") for name in list_graphs())
    assert all(f"`{name}`" in models for name in list_models())
    assert all(f"`{prefix}/" in guide("training") for prefix in list_readers())


@each_document
def test_python_examples_run(path, registries, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", path.read_text(), flags=re.DOTALL):
        exec(block, scope)
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]  # git ignores what is written there
    if path.name == "README.md":
        assert scope["logits"].shape == (2, 10)
        assert [m.shape[1] for m in scope["maps"]] == [48, 96, 240, 384]
    if path.name == "graphs.md":
        assert scope["edge_index"].shape[0] == 2
    if "rings" in scope:
        import torch

        assert scope["rings"].eval()(torch.rand(2, 3, 32, 32)).isfinite().all()


def test_tables_are_those_of_the_result_files(benchmarks):
    import readme

    assert "fuse()" in readme.inference()
    texts = [path.read_text() for path in DOCUMENTS]
    assert list(readme.DOCUMENTS) == DOCUMENTS
    assert all(any(f"<!-- {name} -->\n| " in text for text in texts) for name in readme.TABLES)
    assert all(readme.rendered(text) == text for text in texts)


def test_the_table_of_weights_is_that_of_the_package():
    from vig_pyg import weights

    assert f"<!-- weights -->\n{weights.as_markdown()}\n<!-- /weights -->" in guide("weights")


def parsed_commands(text):
    """The parsed arguments of all commands of a document."""
    from vig_pyg.cli import make_parser

    lines = text.replace("\\\n", " ")
    for line in re.findall(r"^(?:uv run|torchrun .*--no-python) vig-pyg ([^#\n]*[^#\n\s])", lines, flags=re.MULTILINE):
        args = make_parser().parse_args(shlex.split(line))
        assert callable(args.run)
        yield line, args
        if hasattr(args, "make_parser"):  # flags that are made when the command runs
            yield line, args.make_parser().parse_flags(args.argv)


#: The file or folder that a call or an option writes, in a block or within a sentence; words in capitals stand for any.
WRITTEN = re.compile(
    r"""(?:savefig|save_pretrained|to_onnx|save_html|write_\w+|\bsave)\([^"'\n]*["']([^"'\n]+)["']"""
    r"""|--(?:out|json|csv|failures)[ =]"?(?![A-Z]+\b)([\w$./-]+)"""
)


def written(text):
    return [call or option for call, option in WRITTEN.findall(text)]


@each_document
def test_commands_exist_and_write_under_runs(path):
    """What a reader tries in a clone leaves no files that git would see."""
    text = path.read_text()
    for line, args in parsed_commands(text):
        for name in ("out", "json", "csv"):
            target = getattr(args, name, None)
            assert not isinstance(target, str | Path) or str(target).startswith("runs/"), line
    for target in written(text):
        assert target.startswith(("runs/", "$RUN", "/")), target


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ('figure.savefig("a.png")', ["a.png"]),
        ("`explain.save_html(image, graphs, 'b.html')`", ["b.html"]),
        ('to_onnx(model.fuse(), "c.onnx")', ["c.onnx"]),
        ("python x.py --out d\n vig-pyg y --json=e.json", ["d", "e.json"]),
        ('model.save_pretrained("f")  # g', ["f"]),
    ],
)
def test_what_is_written_is_found(text, targets):
    assert written(text) == targets


def test_git_ignores_runs():
    assert "runs/" in (ROOT / ".gitignore").read_text().splitlines()


@each_document
def test_python_files_of_commands_exist(path):
    for file in re.findall(r"\b((?:examples|tests)/[\w/]+\.py)", path.read_text()):
        assert (ROOT / file).is_file(), file


def anchors(text):
    """The names that GitHub gives to headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_links_and_pictures_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        found = (path.parent / file).resolve() if file else path
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), target


def test_the_first_page_is_short_and_lists_every_guide():
    assert len(README.splitlines()) <= 200
    for name, path in GUIDES.items():
        title = path.read_text().splitlines()[0]
        assert title.startswith("# ") and title.endswith("?")
        assert f"| {title[2:]} | [" in README and f"(examples/guides/{name})" in README


def test_the_ci_runs_the_test_command():
    assert "uv run pytest" in README
    assert "\nuv run pytest -n 2\n" in (ROOT / ".ci" / "run").read_text()
