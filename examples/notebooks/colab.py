"""Write into each notebook a link that opens it in Colab, and a cell that installs the library if it is missing.

    uv run python examples/notebooks/colab.py OWNER/REPOSITORY   # the address of a public copy on GitHub

A second call replaces the link and the cell of the first.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parent
#: Lessons that need `torch_cluster`.
CLUSTER = {"1_image_to_graph.ipynb", "4_pyramid.ipynb"}
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({})"
#: The identifier of the added cell, by which a second call finds it.
CELL = "install-if-missing"
INSTALL = """import importlib.util

if importlib.util.find_spec("vig_pyg") is None:  # in Colab, for example
    %pip install --quiet "vig-pyg[{extras}] @ git+https://github.com/{repository}\""""


def prepare(path: Path, repository: str) -> None:
    """Write the link and the cell into a notebook.

    Args:
        path: The notebook.
        repository: OWNER/REPOSITORY on GitHub.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise ValueError(f"Expected OWNER/REPOSITORY, got {repository!r}.")
    notebook = nbformat.read(path, as_version=4)
    link = BADGE.format(
        f"https://colab.research.google.com/github/{repository}/blob/main/examples/notebooks/{path.name}"
    )
    first = notebook.cells[0]
    lines = [line for line in first.source.splitlines() if not line.startswith(BADGE.partition("(")[0])]
    title, *rest = lines
    first.source = "\n".join([title, "", link, *rest])
    notebook.cells = [cell for cell in notebook.cells if cell.id != CELL]
    extras = "notebooks,cluster" if path.name in CLUSTER else "notebooks"
    source = INSTALL.format(extras=extras, repository=repository)
    notebook.cells.insert(1, nbformat.v4.new_code_cell(source, id=CELL, execution_count=None))
    for count, cell in enumerate((cell for cell in notebook.cells if cell.cell_type == "code"), start=1):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output["execution_count"] = count
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", metavar="OWNER/REPOSITORY")
    for path in sorted(FOLDER.glob("[0-9]*.ipynb")):
        prepare(path, parser.parse_args().repository)
        print(path)


if __name__ == "__main__":
    main()
