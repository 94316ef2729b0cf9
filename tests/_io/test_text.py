"""Strings from outside, in every place that shows them."""

import csv
import html
import io
import json
import re
import warnings
from pathlib import Path

import pytest

from tests.hostile import hostile
from vig_pyg._io.text import (
    csv_text,
    error_text,
    json_text,
    markdown_code,
    markdown_text,
    message_text,
    plot_text,
    shortened,
    terminal_text,
)

STRINGS = hostile(1500)


def test_the_strings_are_hostile():
    """What is tried is what must not come through: else the tests below would show nothing."""
    assert sum(not text.isprintable() for text in STRINGS) > 800
    assert len({*STRINGS}) > 1300


@pytest.mark.parametrize("show", [terminal_text, markdown_text, markdown_code, plot_text])
@pytest.mark.parametrize("limit", [1, 7, 200])
def test_every_result_is_printable_and_bounded(show, limit):
    for text in STRINGS:
        got = show(text, limit=limit)
        assert got.isprintable(), ascii(text)
        assert len(got) <= 6 * limit + 80, ascii(text)  # markup is longer than what it shows


def test_plain_names_stay_as_they_are():
    for text in ("golden retriever", "photos/cat (2).jpg", "Größe", "猫", "C:\\photos", "a$b", "50 %"):
        assert terminal_text(text) == text
    for text in ("golden retriever", "photos/cat (2).jpg", "Größe", "猫", "v1.2", "my_ops_2", "a_b/c_d"):
        assert markdown_text(text) == text
    assert markdown_text("_a_ __init__ a__b é_e") == r"\_a\_ \_\_init\_\_ a\_\_b é\_e"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x9b\x7f", r"\x9b\x7f"),
        ("\u202egpj", r"\u202egpj"),
        ("\u2028", r"\u2028"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
    ],
)
def test_terminals_see_escapes(text, shown):
    assert terminal_text(text) == shown


def test_long_text_keeps_both_ends():
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert shortened("abcde", 5) == "abcde"
    assert shortened("abcdef", 1) == "…"
    got = terminal_text("start" + "\x1b" * 100_000 + "end.jpg", limit=40)
    assert (len(got), got[:5], got[-7:]) == (40, "start", "end.jpg")
    with pytest.raises(ValueError, match="at least 1, got 0"):
        shortened("a", 0)


def test_errors_are_one_line():
    assert error_text(ValueError("first\n\n\tsecond \u2028 third")) == "first second third"
    assert error_text(KeyError()) == "KeyError"
    assert error_text(ValueError("\x1b[31m")) == r"\x1b[31m"
    for text in STRINGS:
        got = error_text(RuntimeError(text))
        assert got and got.isprintable() and len(got) <= 2000
        assert message_text(RuntimeError(text)) == got or "\n  " in text


def test_only_an_indented_list_has_lines_of_its_own():
    assert message_text("2 images:\n  a\n  b") == "2 images:\n  a\n  b"
    assert (
        message_text(ValueError("2 images:\n  a\x1b\nvig-pyg: done\n  b")) == "2 images:\n  a\\x1b vig-pyg: done\n  b"
    )
    for name in ("x.png\n  y", "x\n  vig-pyg: done.png", "a\n  b\n  c"):  # a name cannot start a line, as a list does
        assert message_text(f"There is no image at {name}.").count("\n") == 0
    assert message_text("\n  a\n  b") == "a b" and message_text(KeyError()) == "KeyError"
    assert message_text("many:" + "\n  a" * 12).count("\n") == 0
    assert len(message_text("long:\n  " + "a" * 5000)) < 2020


def rendered(markdown):
    """The text that a line of Markdown shows: what is escaped, and entities; `None` if anything in it is markup."""
    plain, rest = "", markdown
    if re.match(r"[-+=#>]|\d+[.)]|\s", rest):
        return None
    while rest:
        if found := re.match(r"\\([!-/:-@\[-`{-~])", rest):
            plain += found[1]
        elif found := re.match(r"&(lt|gt|amp);", rest):
            plain += html.unescape(found[0])
        elif rest[0] == "_" and re.search(r"[0-9A-Za-z]$", plain) and re.match(r"_[0-9A-Za-z]", rest):
            found = re.match("_", rest)  # inside of a word
            plain += "_"
        elif re.match(r"[`*_\[\]<>|~$!@&]|https?://|www\.", rest):
            return None
        else:
            found = re.match(r"(?s).", rest)
            plain += found[0]
        rest = rest[found.end() :]
    return plain


def test_markdown_shows_the_characters_and_nothing_else():
    for text in STRINGS:
        assert rendered(markdown_text(text)) == terminal_text(text, limit=200).strip(), ascii(text)


def test_code_spans_hold():
    for text in STRINGS:
        got = markdown_code(text)
        fence = re.match("`+", got)[0]
        inside = got[len(fence) : -len(fence)]
        assert got.endswith(fence)
        assert fence not in re.findall("`+", inside), ascii(text)  # only a run of the same length ends a span
        assert not re.search(r"(?<!\\)\|", inside), ascii(text)
        assert not inside.startswith("`") and not inside.endswith("`")
        assert inside.strip().replace(r"\|", "|") == terminal_text(text, limit=2000).strip()


def drawn(text):
    """What matplotlib makes of a label, with warnings as errors: the text, and whether it is mathtext."""
    from vig_pyg._figure import figure

    fig = figure(1, 1)
    label = fig.text(0, 0, text)
    with warnings.catch_warnings(action="error"):
        fig.draw_without_rendering()
        fig.savefig(io.BytesIO(), format="png")
    return label._preprocess_math(text)


def test_labels_are_drawn_as_they_are():
    assert drawn(plot_text("$\\frac$")) == ("$\\frac$", False)
    assert drawn(plot_text("\\$x$")) == ("\\$x$", False)
    assert drawn(plot_text("猫")) in (("猫", False), (r"\u732b", False))  # as the fonts here have it
    for text in STRINGS[:120]:
        shown, is_math = drawn(plot_text(text))
        assert not is_math, ascii(text)
        assert len(shown) <= 40


def test_plain_labels_stay_as_they_are():
    for text in ("golden retriever", "Größe", "a_b^c", "C:\\x"):
        assert plot_text(text) == text
    assert plot_text("a" * 30 + "b" * 30, limit=9) == "aaaa…bbbb"


def test_no_cell_is_a_formula():
    for text in STRINGS:
        for value in (text, Path(text)) if "\0" not in text else (text,):
            got = csv_text(value)
            assert isinstance(got, str) and got.isprintable(), ascii(text)
            assert not got.lstrip().startswith(tuple("=+-@")), ascii(text)


def test_cells_that_are_harmless_stay_as_they_are():
    cells = ["cat", "a=b", "Größe", -1.5, 3, None, True]
    assert [csv_text(cell) for cell in cells] == cells
    assert csv_text("-1") == "'-1"
    assert csv_text(Path("cats/=1.jpg")) == "cats/=1.jpg"


def test_a_guarded_path_is_still_the_same_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("=1+1.jpg").write_text("here")
    assert csv_text(Path("=1+1.jpg")) == "./=1+1.jpg"
    assert Path(str(csv_text(Path("=1+1.jpg")))).read_text() == "here"


def test_json_is_printable_and_exact():
    content = {"names": STRINGS, "nested": [{text: 1.5} for text in STRINGS[:50]]}
    text = json_text(content)
    assert text.replace("\n", "").isprintable()
    assert json.loads(text) == content
    assert "猫" in text  # readable in any script
    assert json_text([Path("a")]) == '[\n  "a"\n]'


def test_csv_with_such_cells_is_read_back():
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([[csv_text(cell)] for cell in STRINGS if cell.strip()])
    assert [row[0] for row in csv.reader(io.StringIO(text.getvalue()))] == [
        csv_text(cell) for cell in STRINGS if cell.strip()
    ]


@pytest.mark.parametrize("number", ["0.0", "0.05", "12.5 %", "1.", "2) two", "3. three", "4.\tfour"])
def test_only_numbers_that_would_start_a_list_are_escaped(number):
    marks = ("1.", "2) two", "3. three", "4.\tfour")
    assert ("\\" in markdown_text(number)) == (number in marks)
