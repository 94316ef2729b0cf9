"""The site: it builds without a warning, every link leads somewhere, and every public module has its page."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

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
    return out


@pytest.fixture
def dead_links(monkeypatch):
    monkeypatch.syspath_prepend(str(SITE))
    yield importlib.import_module("build").dead_links
    sys.modules.pop("build")


def test_it_builds_without_a_warning_and_equations_are_drawn(site):
    page = (site / "site" / "api" / "conv.html").read_text()
    assert page.count("<math") >= 5 and "MaxRelativeConv" in page
    assert not re.search(r"https?://[^\"]*\.(js|css)", page)  # nothing is loaded from elsewhere


def test_dead_links_are_found(dead_links, tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="one"></h1><a href="#one"></a><a href="#two"></a><a href="b.html"></a><img src="c.png">'
        '<a href="https://pyg.org"></a><a href="a.html#three"></a>'
    )
    assert dead_links(tmp_path) == ["a.html: #two", "a.html: a.html#three", "a.html: b.html", "a.html: c.png"]


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
    for page in ("site/index", "site/api/conv", "guides/speed", "guides/weights", "notebooks/2_message_passing"):
        browser.get_log("browser")
        browser.get((site / f"{page}.html").as_uri())
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390, page
