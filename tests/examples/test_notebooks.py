"""The lessons run from the first cell to the last, with the solutions of their exercises."""

import copy
import importlib
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
#: Seconds on one core; the lessons promise it. Measured as computing time, which hardly grows beside other programs:
#: at most to the double, where two share the units of one core.
LIMIT = 60
#: Seconds after which a cell counts as hanging.
HANGING = 1800
SIZE = 600_000
#: Lessons that run at night only.
SLOW = {"5_swap_and_ablate"}
#: Behind a line that loads images: only the first of them.
FEW = "\nfor part in (data.train_set, data.val_set): part.sources, part.labels = part.sources[:256], part.labels[:256]"
#: Lessons that train much: by day they train less and with fewer seeds, at night as they are.
SHORTER = {
    "3_build_a_vig": {r"epochs=\d+": "epochs=1", r"range\(1, 7\)": "range(1, 2)"},
    "6_your_images": {r"epochs=8": "epochs=1", r"for seed in range\(\d\)": "for seed in range(1)"},
    "7_your_operator": {r"epochs=\d+": "epochs=1", r"seeds=3": "seeds=2", r"data = DigitsData\(.*\)": r"\g<0>" + FEW},
}
FOLD = re.compile(r"<details>\s*<summary>Solution</summary>(.*?)</details>", flags=re.DOTALL)
CODE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)


def load(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture
def colab(monkeypatch):
    """The script that adds the links."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("colab")
    sys.modules.pop("colab")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def with_solutions(notebook):
    """The notebook with the folded code of each text behind it, as cells."""
    full = copy.deepcopy(notebook)
    full.cells = []
    for cell in notebook.cells:
        full.cells.append(copy.deepcopy(cell))
        if cell.cell_type == "markdown":
            folds = FOLD.findall(cell.source)
            full.cells += [nbformat.v4.new_code_cell(code) for fold in folds for code in CODE.findall(fold)]
    return full


def shortened(notebook, changes):
    """The notebook with less training."""
    for pattern, text in changes.items():
        found = [cell for cell in code_cells(notebook) if re.search(pattern, cell.source)]
        assert found, f"no cell has {pattern}"
        for cell in found:
            cell.source = re.sub(pattern, text, cell.source)
    return notebook


def texts(notebook):
    """All text that the cells put out."""
    for cell in code_cells(notebook):
        for output in cell.outputs:
            yield output.get("text", "") + "".join(output.get("data", {}).get("text/plain", ""))


def sections(notebook):
    """The cells under each second-level heading."""
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in re.findall(r"^## (.*)", cell.source, flags=re.MULTILINE):
                found.append((heading, []))
        if found and cell.cell_type == "code":
            found[-1][1].append(cell)
    return found


def test_there_are_notebooks():
    assert [path.name.split("_")[0] for path in PATHS] == [str(i + 1) for i in range(len(PATHS))]
    assert len(PATHS) == 7


def test_the_index_has_every_lesson_in_order():
    index = (FOLDER / "README.md").read_text()
    assert re.findall(r"^\| \[(\d) .*?\]\((.*?)\) \| .+ \| .+ \| \d+ \|$", index, flags=re.MULTILINE) == [
        (path.name[0], path.name) for path in PATHS
    ]
    for path in PATHS:
        assert (
            f"[{load(path).cells[0].source.splitlines()[0].removeprefix('# ').partition(':')[0].split()[0]} " in index
        )


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
class TestColab:
    def test_the_link_and_the_cell_are_written_once(self, path, tmp_path, colab):
        before = load(path)
        copied = tmp_path / path.name
        copied.write_bytes(path.read_bytes())
        for repository in ("somebody/vig", "Some-Body/vig.pyg_2"):
            colab.prepare(copied, repository)
        found = load(copied)
        assert len(found.cells) == len(before.cells) + 1
        link = f"https://colab.research.google.com/github/Some-Body/vig.pyg_2/blob/main/examples/notebooks/{path.name}"
        assert (
            found.cells[0].source.count("colab.research.google.com/github") == 1
            and f"({link})" in found.cells[0].source
        )
        cell = found.cells[1]
        assert 'git+https://github.com/Some-Body/vig.pyg_2"' in cell.source
        assert ("cluster" in cell.source) is any("torch_cluster import" in c.source for c in code_cells(before))
        assert [c.source for c in found.cells[2:]] == [c.source for c in before.cells[1:]]
        TestKept().test_every_cell_was_run_in_order_without_an_error(copied)

    def test_the_cell_installs_nothing_where_the_library_is(self, path, tmp_path, colab):
        copied = tmp_path / path.name
        copied.write_bytes(path.read_bytes())
        colab.prepare(copied, "somebody/vig")
        exec(load(copied).cells[1].source.replace("%pip", "raise AssertionError  #"), {})

    @pytest.mark.parametrize("wrong", ["", "vig", "https://github.com/a/b", "a/b/c", "a/b\n", "a b/c", '"/x'])
    def test_other_addresses_are_refused(self, path, tmp_path, colab, wrong):
        copied = tmp_path / path.name
        copied.write_bytes(path.read_bytes())
        with pytest.raises(ValueError, match="Expected OWNER/REPOSITORY"):
            colab.prepare(copied, wrong)
        assert copied.read_bytes() == path.read_bytes()


def runs():
    """Each lesson as it is, and the long ones with less training too."""
    for path in PATHS:
        long = path.stem in SHORTER
        yield pytest.param(path, False, id=path.stem, marks=pytest.mark.slow if long or path.stem in SLOW else ())
        if long:
            yield pytest.param(path, True, id=f"{path.stem}-short")


@pytest.mark.parametrize(("path", "short"), list(runs()))
def test_it_runs_with_its_solutions(path, short, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    (tmp_path / "work").mkdir()
    notebook = with_solutions(load(path))
    if short:
        notebook = shortened(notebook, SHORTER[path.stem])
    notebook.cells.append(nbformat.v4.new_code_cell("import time\nprint(time.process_time())"))
    NotebookClient(notebook, timeout=HANGING, resources={"metadata": {"path": str(tmp_path / "work")}}).execute()
    assert 0 < float(notebook.cells.pop().outputs[0].text) < 2 * LIMIT
    for cell in code_cells(notebook):
        noise = [output.text for output in cell.outputs if output.get("name") == "stderr"]
        noise = [text for text in noise if "The given buffer is not writable" not in text]  # within torch 2.11
        assert not noise, f"{cell.source}\nwrote to stderr: {noise}"


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
class TestKept:
    def test_every_cell_was_run_in_order_without_an_error(self, path):
        cells = code_cells(load(path))
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        kinds = {output.output_type for cell in cells for output in cell.outputs}
        assert kinds <= {"stream", "display_data", "execute_result"}
        assert not [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"]

    def test_outputs_are_clean(self, path):
        for text in texts(load(path)):
            assert not re.search(
                r"Warning|Error|Traceback|0x[0-9a-f]{6}|(?<![\w.])/(home|root|tmp|work|Users|usr)\b", text
            )

    def test_every_section_has_a_picture(self, path):
        found = sections(load(path))
        assert len(found) >= 4
        for heading, cells in found:
            pictures = [o for cell in cells for o in cell.outputs if "image/png" in o.get("data", {})]
            assert pictures or heading == "Exercises", heading

    def test_exercises_have_folded_solutions(self, path):
        (exercises,) = [c.source for c in load(path).cells if c.source.startswith("## Exercises")]
        wanted = len(re.findall(r"^\*\*\d\.\*\*", exercises, flags=re.MULTILINE))
        folds = FOLD.findall(exercises)
        assert wanted == len(folds) >= 2
        assert all(CODE.findall(fold) for fold in folds)

    def test_it_is_small(self, path):
        assert path.stat().st_size < SIZE

    def test_links_lead_somewhere(self, path):
        for cell in load(path).cells:
            for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", cell.source):
                assert (FOLDER / target).exists(), target
