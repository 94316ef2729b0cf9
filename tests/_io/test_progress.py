import ast
from pathlib import Path

import pytest

import vig_pyg
from tests.terminal import Stderr
from vig_pyg._io.progress import bar_look, progress_bar

PACKAGE = Path(vig_pyg.__file__).parent


def shown(monkeypatch, *, terminal=True, encoding="utf-8", **options):
    monkeypatch.setattr("sys.stderr", text := Stderr(terminal=terminal, encoding=encoding))
    with progress_bar(4, **options) as bar:
        bar.update(3)
        bar.refresh()
    return text.getvalue()


def test_a_terminal_shows_share_number_speed_and_time(monkeypatch, capsys):
    text = shown(monkeypatch)
    assert "━" * 30 in text and "75 % 3/4" in text and " images/s" in text and " left " in text
    assert "models/s" in shown(monkeypatch, unit="models")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("options", [{"terminal": False}, {"shown": False}, {"terminal": False, "shown": False}])
def test_nothing_is_shown_in_a_pipe_or_if_nobody_wants_it(options, monkeypatch):
    assert shown(monkeypatch, **options) == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", None])
def test_other_encodings_get_plain_characters(encoding, monkeypatch):
    text = shown(monkeypatch, encoding=encoding)
    assert "75 %" in text and text.isascii()


def test_without_a_standard_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    assert bar_look(shown=True)["ascii"] is True


def test_bytes_get_prefixes(monkeypatch):
    from tqdm import tqdm

    monkeypatch.setattr("sys.stderr", text := Stderr(terminal=True))
    for total in (2**21, None):
        with tqdm(total=total, **bar_look(shown=True, unit="B")) as bar:
            bar.update(2**20)
            bar.refresh()
    assert "1.00M/?" in text.getvalue()
    assert "50 % 1.00M/2.00M" in text.getvalue() and "B/s" in text.getvalue()


def makers(path):
    """The bars that a file makes itself: calls of tqdm, and imports of rich's."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "tqdm":
            yield any(keyword.arg is None for keyword in node.keywords) and "bar_look" in ast.unparse(node)
        names = [one.name for one in node.names] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom) and node.module == "rich.progress" and {"Progress", "track"} & {*names}:
            yield path.name == "progress.py" and path.parent.name == "engine"


def test_all_bars_have_one_look():
    found = {path: list(makers(path)) for path in PACKAGE.rglob("*.py")}
    assert all(all(looks) for looks in found.values()), {path for path, looks in found.items() if not all(looks)}
    assert sum(map(len, found.values())) == 3  # this one, that of downloads in bytes, and that of training with epochs


def test_there_is_no_bar_where_standard_error_is_closed(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with progress_bar(2) as bar:
        bar.update(2)
    assert bar.disable
