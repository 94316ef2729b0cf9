"""Builds the site into a folder; warnings are errors, and every local link must lead somewhere.

uv run --group docs python examples/site/build.py --out runs/site
"""

from __future__ import annotations

import argparse
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.cmd.build import build_main

HERE = Path(__file__).parent
#: The page of the folder itself, which web servers and people open first.
ENTRY = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>vig_pyg</title>
<meta http-equiv="refresh" content="0; url=site/index.html">
<p><a href="site/index.html">vig_pyg</a></p>
</html>
"""


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.append(value)
            if value and (name == "id" or (name == "name" and tag == "a")):
                self.anchors.add(value)


def dead_links(folder: Path) -> list[str]:
    """The local links of all pages whose file or anchor does not exist."""
    pages = {path.resolve(): Page(path.read_text()) for path in folder.rglob("*.html")}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            wrong = not target.exists()
            if not wrong and parts.fragment and target in pages:
                wrong = unquote(parts.fragment) not in pages[target].anchors
            if wrong:
                dead.append(f"{path.relative_to(folder.resolve())}: {link}")
    return sorted(set(dead))


def build(out: Path) -> int:
    """Build the site into `out`, and return the exit status."""
    status = build_main(["-W", "--keep-going", "-q", "-j", "auto", "-c", str(HERE), str(HERE.parent), str(out)])
    if not status:
        (out / "index.html").write_text(ENTRY, encoding="utf-8")
    dead = dead_links(out) if not status else []
    for link in dead:
        print(f"A link leads nowhere: {link}", file=sys.stderr)
    if not status and not dead:
        print(f"The site is in {out}; open {out / 'index.html'} in a browser.")
    return status or bool(dead)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/site"), help="the folder of the pages")
    return build(parser.parse_args(argv).out)


if __name__ == "__main__":
    sys.exit(main())
