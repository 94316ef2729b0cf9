import json
import re
import subprocess
import sys
from base64 import b64decode
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from shutil import copy, copytree

import numpy as np
import pytest
import torch
from PIL import Image

from tests.explain.common import image_and_graphs, model_of
from tests.hostile import hostile
from vig_pyg._io.text import terminal_text
from vig_pyg.explain import save_html

ROOT = Path(__file__).parents[2]


def data_of(page):
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, flags=re.DOTALL)
    return json.loads(data)


@pytest.mark.parametrize("name", ["vig_micro", "pvig_micro"])
def test_the_page_has_every_edge_and_the_image(tmp_path, name):
    image, graphs = image_and_graphs(name)
    save_html(image, graphs, tmp_path / "a.html", patch=(0.25, 0.75))
    page = (tmp_path / "a.html").read_text()
    data = data_of(page)
    assert (data["height"], data["width"], data["patch"]) == (32, 32, [0.25, 0.75])
    assert len(data["layers"]) == len(graphs)
    for layer, graph in zip(data["layers"], graphs, strict=True):
        edges = [(source, i) for i, sources in enumerate(layer["neighbors"]) for source in sources]
        assert edges == [tuple(edge) for edge in graph.edge_index.t().tolist()]
        assert (layer["rows"], layer["columns"]) == tuple(graph.grid_size[0])
        assert [layer[key] for key in ("k", "dilation", "ratio")] == [
            int(graph[key]) for key in ("k", "dilation", "reduce_ratio")
        ]
    (png,) = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
    pixels = np.asarray(Image.open(BytesIO(b64decode(png)))) / 255
    assert np.abs(pixels - image.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6


@pytest.mark.parametrize(("graph", "is_sorted"), [("knn", True), ("window", True), ("random", False), ("grid", False)])
def test_the_page_knows_whether_neighbors_are_sorted_by_distance(tmp_path, graph, is_sorted):
    image, graphs = image_and_graphs("pvig_micro", graph=graph)
    save_html(image, graphs, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert [layer["sorted"] for layer in data_of(page)["layers"]] == [is_sorted] * len(graphs)
    assert 'graph.sorted ? "nearest" : "first edge"' in page


def test_patches_may_have_different_numbers_of_neighbors_or_none(tmp_path):
    def first_alone(x, layout, x_src, layout_src):
        return torch.tensor([[5, 3, 1], [0, 0, 2]])

    image = torch.rand(1, 32, 32)
    graphs = model_of("vig_micro", in_channels=1, graph=lambda k, dilation: first_alone).graphs(image[None])
    save_html(image, graphs, tmp_path / "a.html")
    (layer, *_) = data_of((tmp_path / "a.html").read_text())["layers"]
    assert layer["neighbors"] == [[5, 3], [], [1]] + [[]] * 61
    assert layer["degrees"] == [0, 2]


def test_nothing_is_loaded_and_no_text_breaks_out(tmp_path):
    image, graphs = image_and_graphs("vig_micro")
    title = '</title></script><script>alert(1)</script> {{data}} "&'
    save_html(image, graphs, tmp_path / "a.html", title=title)
    page = (tmp_path / "a.html").read_text()
    assert "alert(1)</script>" not in page
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt; {{data}} &quot;&amp;" in page
    assert page.count("</script>") == 2
    addresses = set(re.findall(r"\w+://[^\s\"']*", page))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of SVG, not a place to go to
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []
    assert "default-src 'none'" in page


def test_a_page_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    image, graphs = image_and_graphs("vig_micro")
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            save_html(image, graphs, tmp_path / "a.html")
    assert list(tmp_path.iterdir()) == []
    save_html(image, graphs, tmp_path / "a.html")
    assert [path.name for path in tmp_path.iterdir()] == ["a.html"]
    before = (tmp_path / "a.html").read_bytes()
    with pytest.raises(FileExistsError, match="not overwritten"):
        save_html(image, graphs, tmp_path / "a.html", title="other")
    assert (tmp_path / "a.html").read_bytes() == before
    with pytest.raises(FileNotFoundError, match="does not exist: create it first"):
        save_html(image, graphs, tmp_path / "nowhere" / "a.html")


def test_wrong_input_is_refused(tmp_path):
    image, graphs = image_and_graphs("vig_micro")
    out = tmp_path / "a.html"
    with pytest.raises(ValueError, match=r"in \[0, 1\], got -1 to 1: undo the normalization"):
        save_html(torch.linspace(-1, 1, 3 * 32 * 32).view(3, 32, 32), graphs, out)
    with pytest.raises(ValueError, match="got nan"):
        save_html(image * torch.nan, graphs, out)
    with pytest.raises(ValueError, match="Expected an image"):
        save_html(image[None], graphs, out)
    with pytest.raises(ValueError, match="graphs of one image"):
        save_html(image, [], out)
    with pytest.raises(ValueError, match="fractions of the image"):
        save_html(image, graphs, out, patch=(0.5, 1.0))
    assert not out.exists()


def test_a_page_of_a_photo_is_small_and_made_in_few_steps(tmp_path):
    """Noise is the largest PNG that 224 px can have. Python may walk over the patches, but not over their edges."""
    image, model = torch.rand(3, 224, 224), model_of("pvig_tiny")
    graphs = model.graphs(image[None])
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(None) if event in ("call", "c_call") else None)
    try:
        save_html(image, graphs, tmp_path / "a.html")
    finally:
        sys.setprofile(None)
    patches = sum(graph.num_nodes for graph in graphs)
    assert len(calls) < 4 * patches + 20_000 < sum(graph.num_edges for graph in graphs)
    assert (tmp_path / "a.html").stat().st_size < 1_000_000


class Reader(HTMLParser):
    """Tags with their attributes, and the texts of the title and the heading, as a browser sees them."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.inside = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))
        self.inside = tag

    def handle_endtag(self, tag):
        self.inside = ""

    def handle_data(self, data):
        if self.inside in ("title", "h1"):
            self.text.append(data)


def read_page(page):
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.tags, "".join(reader.text)


def test_any_title_is_text(tmp_path):
    """300 hostile titles: the page is the same but for two texts."""
    image, graphs = image_and_graphs("vig_micro")
    save_html(image, graphs[:1], tmp_path / "plain.html", title="plain")
    plain, text = read_page((tmp_path / "plain.html").read_text())
    assert text == "plainplain"
    for title in hostile(300, seed=2):
        save_html(image, graphs[:1], tmp_path / "a.html", title=title)
        page = (tmp_path / "a.html").read_text()
        tags, text = read_page(page)
        assert tags == plain, ascii(title)
        assert text == 2 * terminal_text(title, limit=300), ascii(title)
        assert all(line.isprintable() for line in page.split("\n"))
        (tmp_path / "a.html").unlink()


def test_more_edges_than_a_browser_takes_are_refused(tmp_path, monkeypatch):
    image, graphs = image_and_graphs("vig_micro")
    edges = sum(graph.num_edges for graph in graphs)
    monkeypatch.setattr("vig_pyg.explain.page.MOST_EDGES", edges - 1)
    with pytest.raises(
        ValueError, match=rf"have {edges} edges, but a page supports at most {edges - 1}: pass fewer layers"
    ):
        save_html(image, graphs, tmp_path / "a.html")
    assert not list(tmp_path.iterdir())
    save_html(image, graphs[1:], tmp_path / "a.html")


def test_the_template_is_installed_with_the_package(tmp_path):
    """What setuptools puts into a wheel of the package as pyproject.toml describes it."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        copy(ROOT / name, tmp_path)
    copytree(ROOT / "vig_pyg", tmp_path / "vig_pyg")
    command = [sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "build_py", "--build-lib", "lib"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    installed = tmp_path / "lib" / "vig_pyg" / "explain" / "page.html"
    assert installed.read_bytes() == (ROOT / "vig_pyg" / "explain" / "page.html").read_bytes()


class TestOutput:
    def test_lines_and_a_drawing_are_on_the_page(self, tmp_path):
        image, graphs = image_and_graphs("vig_micro")
        drawn = torch.rand(3, 32, 32)
        save_html(image, graphs, tmp_path / "a.html", summary=["cat: 91.0 %", "dog: 9.0 %"], output=drawn)
        page = (tmp_path / "a.html").read_text()
        assert "<li>cat: 91.0 %</li><li>dog: 9.0 %</li>" in page and 'id="show-output"' in page
        first, second = re.findall(r'src="data:image/png;base64,([^"]*)"', page)
        for png, expected in ((first, image), (second, drawn)):
            pixels = np.asarray(Image.open(BytesIO(b64decode(png)))) / 255
            assert np.abs(pixels - expected.permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6

    def test_lines_have_the_colors_of_the_drawing(self, tmp_path):
        """The page has no other legend."""
        look = {"summary": ["sky: 60 %", "sea: 30 %", "and more"], "colors": [(0, 114, 178), (213, 94, 0)]}
        save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html", **look, output=torch.rand(3, 32, 32))
        marks = ['<i style="background: #0072b2"></i>', '<i style="background: #d55e00"></i>']
        lines = f"<li>{marks[0]}sky: 60 %</li><li>{marks[1]}sea: 30 %</li><li>and more</li>"
        assert lines in (tmp_path / "a.html").read_text()

    def test_colors_without_lines_are_left_out(self, tmp_path):
        save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html", summary=["a"], colors=[(1, 2, 3)] * 3)
        assert (tmp_path / "a.html").read_text().count("<i style") == 1

    @pytest.mark.parametrize("scale", [2, 3, 12])
    def test_a_drawing_may_have_more_pixels(self, tmp_path, scale):
        drawn = torch.rand(3, 32 * scale, 32 * scale)
        save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html", output=drawn)
        _, second = re.findall(r'src="data:image/png;base64,([^"]*)"', (tmp_path / "a.html").read_text())
        assert Image.open(BytesIO(b64decode(second))).size == (32 * scale, 32 * scale)

    def test_a_page_without_an_answer_has_no_section(self, tmp_path):
        save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html")
        page = (tmp_path / "a.html").read_text()
        assert "Output of the network" not in page and 'type="checkbox">Show' not in page and "{{" not in page

    @pytest.mark.parametrize("text", hostile(40))
    def test_lines_are_text(self, tmp_path, text):
        save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html", summary=[text])
        page = (tmp_path / "a.html").read_text()
        assert page.count("<script") == 2 and "<img src=x" not in page

    @pytest.mark.parametrize(
        "shape", [(1, 32, 32), (3, 31, 32), (3, 32), (3, 32, 32, 1), (3, 64, 32), (3, 65, 65), (3, 0, 0)]
    )
    def test_another_shape_is_refused(self, tmp_path, shape):
        with pytest.raises(ValueError, match="Expected an output"):
            save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html", output=torch.zeros(shape))
        with pytest.raises(ValueError, match=r"Expected pixels in \[0, 1\]"):
            save_html(*image_and_graphs("vig_micro"), tmp_path / "a.html", output=torch.full((3, 32, 32), 2.0))
        assert not list(tmp_path.iterdir())
