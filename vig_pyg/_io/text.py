r"""Strings from outside (file names, class names, messages of foreign errors) made safe for where they are shown.

Each function is for one kind of place and returns printable characters only: what could move a cursor, color a
terminal, turn the direction of reading, end a line or hide is written as a visible escape such as `\x1b`, as `repr`
does. Files that programs read back, such as those of `--json`, keep every name exactly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import PurePath

#: Characters that Markdown, GitHub's math or a table would take as markup anywhere in a line.
_MARKUP = re.compile(r"([\\`*_\[\]|~$#!@])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: First characters of a cell that spreadsheets take as a formula, also in their full-width forms.
_FORMULA = tuple("=+-@＝＋－＠")


def terminal_text(value: object, *, limit: int = 1000) -> str:
    r"""Make a line for a terminal or a log: `str(value)` with everything not printable as a visible escape.

    Args:
        value: What to show; line breaks in it become `\n`.
        limit: Most characters of the result; of a longer text the middle is left out, since both ends of a path and of
            a message matter.

    Example:
        >>> terminal_text("cat\x1b[2J\n.jpg")
        'cat\\x1b[2J\\n.jpg'
    """
    text = str(value)
    if len(text) > 2 * limit:  # an escape is longer than its character, so this loses nothing that would be shown
        text = text[:limit] + text[-limit:]
    return shortened(_escaped(text), limit)


def error_text(error: BaseException, *, limit: int = 2000) -> str:
    r"""Return the message of an error in one line: line breaks become spaces, the rest is as in `terminal_text`.

    Args:
        error: Any error; one without a message is shown by its type.
        limit: Most characters of the result.

    Example:
        >>> error_text(RuntimeError("Missing keys:\n\ta, b"))
        'Missing keys: a, b'
    """
    lines = (line.strip() for line in str(error).splitlines())
    return terminal_text(" ".join(line for line in lines if line) or type(error).__name__, limit=limit)


def markdown_text(value: object, *, limit: int = 200) -> str:
    r"""Escape text for the inside of a Markdown line, a heading or a cell, which shows exactly these characters.

    Markup, HTML, links (written out ones too), mentions, math and cell borders are escaped; the text cannot start a
    list, a heading or a rule either. Not for the inside of a code span: see `markdown_code`.

    Args:
        value: What to show.
        limit: Most characters shown; see `terminal_text`.

    Example:
        >>> markdown_text("a|b <img src=x>")
        'a\\|b &lt;img src=x&gt;'
    """
    text = terminal_text(value, limit=limit).strip()
    text = _MARKUP.sub(r"\\\1", re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], text))
    text = text.replace("://", r"\://")
    text = re.sub(r"(?i)\b(www)\.", r"\1\\.", text)
    return re.sub(r"^(?:([-+=])|(\d+)([.)]))", _escaped_start, text)


def markdown_code(value: object, *, limit: int = 2000) -> str:
    """Make a Markdown code span that no backtick inside it ends; with `|` escaped, for tables too.

    Args:
        value: What to show, such as a command line.
        limit: Most characters shown; see `terminal_text`.

    Example:
        >>> markdown_code("echo `date`")
        '`` echo `date` ``'
    """
    text = terminal_text(value, limit=limit).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest or not text.strip() else ""
    return f"{fence}{space}{text}{space}{fence}"


def plot_text(value: object, *, limit: int = 40) -> str:
    r"""Make a label for matplotlib: nothing starts mathtext, and characters that no font has become escapes.

    Args:
        value: What to show.
        limit: Most characters shown, the middle of a longer text is left out: labels share a figure.

    Example:
        >>> plot_text("$x$")
        '\\$x\\$'
    """
    has_glyph = _glyphs()
    text = "".join(char if has_glyph(char) else _escape(char) for char in terminal_text(value, limit=limit))
    return shortened(text, limit).replace("$", r"\$")


def csv_text(value: object) -> object:
    """Make a cell of a CSV file that no spreadsheet takes as a formula; only text and paths are changed.

    Text that starts with `=`, `+`, `-` or `@` gets the apostrophe that spreadsheets use for "this is text"; a path gets
    `./` instead, and still is the same path. What is not printable becomes a visible escape. Where the exact names
    matter, write JSON.

    Args:
        value: A cell.

    Example:
        >>> csv_text("=1+1"), csv_text(-0.5)
        ("'=1+1", -0.5)
    """
    if not isinstance(value, str | PurePath):
        return value
    text = _escaped(str(value))
    if not text.lstrip().startswith(_FORMULA):
        return text
    return f"./{text}" if isinstance(value, PurePath) else f"'{text}"


def json_text(content: object) -> str:
    r"""Format JSON for people and programs: indented, readable in any script, printable, and read back exactly.

    Args:
        content: What `json.dumps` takes; other objects, such as paths, by their `str`.

    Example:
        >>> print(json_text(["猫\x9b"]))
        [
          "猫\u009b"
        ]
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def shortened(text: str, limit: int) -> str:
    """Shorten a text to its two ends around an ellipsis.

    Args:
        text: Any text.
        limit: Most characters of the result, at least 1.

    Example:
        >>> shortened("a_long_name.jpg", 9)
        'a_lo….jpg'
    """
    if limit < 1:
        raise ValueError(f"limit is a number of characters, at least 1, got {limit}.")
    if len(text) <= limit:
        return text
    end = (limit - 1) // 2
    return f"{text[: limit - 1 - end]}…{text[len(text) - end :]}"


def _escape(char: str) -> str:
    """Convert a character to its visible escape, as `repr` writes it, also if it is printable."""
    short = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(char)
    code = ord(char)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in text)


def _escaped_start(found: re.Match[str]) -> str:
    return f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}"


def _glyphs() -> Callable[[str], bool]:
    """Return a test for glyphs in matplotlib's current fonts; without matplotlib it is always true."""
    try:
        from matplotlib.font_manager import FontProperties, findfont, get_font
    except ImportError:
        return lambda _: True
    fonts = []
    for family in FontProperties().get_family():
        try:
            fonts.append(get_font(findfont(FontProperties(family=family), fallback_to_default=False)))
        except ValueError:  # the family is not installed; matplotlib goes on to the next
            continue
    fonts = fonts or [get_font(findfont(FontProperties()))]
    return lambda char: any(font.get_char_index(ord(char)) for font in fonts)
