"""The site: it builds without a warning, every link leads somewhere, and every public module has its page."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from selenium.webdriver.support.wait import WebDriverWait

import vig_pyg
from tests.browser import needs_browser

ROOT = Path(__file__).parents[2]
SITE = ROOT / "examples" / "site"
#: Modules whose work users reach through another module, or by commands.
WITHOUT_PAGE = {"batch_order", "checkpoints", "cli", "config_schema", "foreign_batch", "interchange"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    out = tmp_path_factory.mktemp("site")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, str(SITE / "build.py"), "--out", str(out)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"open {out / 'index.html'} in a browser" in done.stdout
    return out


@pytest.fixture
def build(monkeypatch):
    """The module that builds the site."""
    monkeypatch.syspath_prepend(str(SITE))
    yield importlib.import_module("build")
    sys.modules.pop("build")


def test_it_builds_without_a_warning_and_equations_are_drawn(site):
    page = (site / "site" / "api" / "conv.html").read_text()
    assert page.count("<math") >= 5 and "MaxRelativeConv" in page
    assert not re.search(r"https?://[^\"]*\.(js|css)", page)  # nothing is loaded from elsewhere


def test_no_command_of_tex_is_left_in_an_equation(site):
    found = {
        (path.name, command)
        for path in site.rglob("*.html")
        for equation in re.findall(r"<math.*?</math>", path.read_text(), flags=re.DOTALL)
        for command in re.findall(r"\\[A-Za-z]+", equation)
    }
    assert not found


def test_dead_links_are_found(build, tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="one"></h1><a href="#one"></a><a href="#two"></a><a href="b.html"></a><img src="c.png">'
        '<a href="https://pyg.org"></a><a href="a.html#three"></a>'
    )
    assert build.dead_links(tmp_path) == ["a.html: #two", "a.html: a.html#three", "a.html: b.html", "a.html: c.png"]


def test_every_page_is_reachable_from_the_folder(site, build):
    """From `index.html`, over links alone; generated lists and the search are no pages to read."""
    found, left = set(), [(site / "index.html").resolve()]
    while left:
        path = left.pop()
        if path in found or path.suffix != ".html":
            continue
        found.add(path)
        links = {urlsplit(link) for link in build.Page(path.read_text()).links}
        left += [(path.parent / unquote(link.path)).resolve() for link in links if link.path and not link.netloc]
    pages = {path.resolve() for path in site.rglob("*.html")}
    assert {path.name for path in pages - found} <= {"genindex.html", "py-modindex.html", "search.html"}
    assert (site / "site" / "index.html").resolve() in found and len(found) > 40


def test_the_start_page_begins_with_a_picture_two_commands_and_links(site):
    page = (site / "site" / "index.html").read_text()
    body = page[page.index('<article role="main"') : page.index("All pages")]
    assert (site / "_images" / "photo.png").is_file()
    body = re.sub(r"</?span[^>]*>", "", body)  # the colors of code
    words = ["<h1>vig_pyg", "_images/photo.png", "uv run vig-pyg train", "uv run pytest", "guides/training.html"]
    places = [body.index(word) for word in (*words, "notebooks/README.html", "api/models.html")]
    assert places == sorted(places)
    readme = (ROOT / "README.md").read_text()
    start = (SITE / "index.md").read_text()
    commands = re.findall(r"^(uv run [^#\n]*[^#\s])", start, flags=re.MULTILINE)
    assert len(commands) == 2 and all(f"\n{command} " in readme for command in commands)
    exec(re.search(r"```py\n(.*?)```", start, flags=re.DOTALL)[1], {})


def test_every_table_of_an_ablation_has_its_own_title():
    index = (SITE / "index.md").read_text()
    titles = re.findall(r"^(.+) <\.\./results/(\w+)/results>$", index, flags=re.MULTILINE)
    assert {folder for _, folder in titles} == {path.parent.name for path in ROOT.glob("examples/results/*/results.md")}
    assert len({title for title, _ in titles}) == len(titles)


def test_the_guide_names_the_page_that_is_built(build):
    guide = (ROOT / "examples" / "guides" / "contributing.md").read_text()
    (out,) = re.findall(r"examples/site/build\.py --out (\S+)", guide)
    assert f"open `{out}/index.html`" in guide


def test_every_public_module_has_its_page():
    pages = "\n".join(path.read_text() for path in sorted((SITE / "api").glob("*.rst")))
    shown = set(re.findall(r"automodule:: vig_pyg\.(\S+)", pages))
    public = {module.name for module in pkgutil.iter_modules(vig_pyg.__path__) if not module.name.startswith("_")}
    assert public - shown == WITHOUT_PAGE


def test_every_guide_and_every_lesson_is_in_the_index():
    index = (SITE / "index.md").read_text()
    for folder in ("guides/*.md", "notebooks/[0-9]*.ipynb"):
        for path in (ROOT / "examples").glob(folder):
            assert f"../{path.parent.name}/{path.stem}\n" in index


@needs_browser
def test_no_page_has_errors_or_is_wider_than_a_narrow_screen(site, browser):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    for page in (
        "index",
        "site/index",
        "site/api/conv",
        "guides/speed",
        "guides/weights",
        "notebooks/2_message_passing",
    ):
        browser.get_log("browser")
        browser.get((site / f"{page}.html").as_uri())
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, page


#: Of each equation: its first letters, how much wider and how much higher than its box it is.
OVERFLOW = """return [...document.querySelectorAll("div.math-wrapper")].map(box => [
    box.textContent.trim().slice(0, 40), box.scrollWidth - box.clientWidth, box.scrollHeight - box.clientHeight])"""


@needs_browser
@pytest.mark.parametrize("width", [1280, 390])
def test_equations_have_no_scroll_bars(site, browser, width):
    """On a narrow screen, a wide equation scrolls sideways, but none scrolls up and down."""
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    pages = [path for path in site.rglob("*.html") if 'class="math-wrapper' in path.read_text()]
    assert len(pages) > 8
    for path in pages:
        browser.get(path.as_uri())
        # a file may not be laid out yet when the call returns
        equations = WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(OVERFLOW), path.name)
        assert all(higher <= 0 for _, _, higher in equations), path.name
        assert width < 1280 or all(wider <= 0 for _, wider, _ in equations), path.name
