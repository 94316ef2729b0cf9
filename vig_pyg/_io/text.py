r"""Escaping of untrusted text (file names, class names, messages of other libraries) for the place where it is shown.

Each function is for one kind of place and returns only printable characters. Characters that could move the cursor,
color a terminal, change the text direction, end a line, or be invisible are written as visible escapes such as `\x1b`,
as `repr` does. Files for programs, such as those of `--json`, contain every name unchanged.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePath

#: Characters that are markup in Markdown, GitHub's math or a table anywhere in a line.
_MARKUP = re.compile(r"([\\`*\[\]|~$#!@]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z]))")  # no `_` inside of a word
#: Largest number of lines of a list: ten names, and the number of the others.
_MOST_LINES = 11
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
#: First characters of cells that spreadsheets interpret as formulas, also in their full-width forms.
_FORMULA = tuple("=+-@＝＋－＠")


def terminal_text(value: object, *, limit: int = 1000) -> str:
    r"""Return `str(value)` as a line for a terminal or a log, with visible escapes for unprintable characters.

    Args:
        limit: Largest number of characters. The middle of a longer text is omitted, because both ends of a path or a
            message matter.

    Example:
        >>> terminal_text("cat\x1b[2J\n.jpg")
        'cat\\x1b[2J\\n.jpg'
    """
    text = str(value)
    if len(text) > 2 * limit:  # an escape is not shorter than its character, so nothing that would be shown is lost
        text = text[:limit] + text[-limit:]
    return shortened(_escaped(text), limit)


def error_text(error: BaseException, *, limit: int = 2000) -> str:
    r"""Return the message of an error in one line, escaped as in `terminal_text`, with spaces for line breaks.

    Example:
        >>> error_text(RuntimeError("Missing keys:\n\ta, b"))
        'Missing keys: a, b'
    """
    return _joined(str(error), limit) or type(error).__name__


def message_text(message: object, *, limit: int = 2000) -> str:
    r"""Return a message for a terminal: one line, and below it the indented lines of its list, if it ends with one.

    Only lines that start with two spaces are kept, so that no name can start a line of its own.

    Args:
        message: The message or the error; a list is in the form of `vig_pyg._io.faults.first_ten`.

    Example:
        >>> print(message_text("2 images cannot be used:\n  a.png\n  b.png"))
        2 images cannot be used:
          a.png
          b.png
        >>> message_text("first\nsecond")
        'first second'
    """
    if isinstance(message, BaseException) and not str(message).strip():
        return type(message).__name__
    first, *items = re.split(r"\n  (?=\S)", str(message))
    if not first.endswith(":") or len(items) > _MOST_LINES:  # a list follows a colon, a name may contain anything
        first, items = str(message), []
    return "\n  ".join(_joined(text, limit) for text in [first, *items] if text.strip())


def _joined(text: str, limit: int) -> str:
    lines = (line.strip() for line in text.splitlines())
    return terminal_text(" ".join(line for line in lines if line), limit=limit)


def markdown_text(value: object, *, limit: int = 200) -> str:
    r"""Escape text for a Markdown line, heading or table cell, so that exactly these characters are shown.

    Markup, HTML, links (including bare URLs), mentions, math and cell borders are escaped. The text also cannot start
    a list, a heading or a rule. For a code span use `markdown_code`.

    Example:
        >>> markdown_text("a|b <img src=x>")
        'a\\|b &lt;img src=x&gt;'
    """
    text = terminal_text(value, limit=limit).strip()
    text = _MARKUP.sub(r"\\\1", re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], text))
    text = text.replace("://", r"\://")
    text = re.sub(r"(?i)\b(www)\.", r"\1\\.", text)
    return re.sub(r"^(?:([-+=])|(\d+)([.)])(?=\s|$))", _escaped_start, text)


def markdown_code(value: object, *, limit: int = 2000) -> str:
    """Return a Markdown code span that can contain backticks; `|` is escaped, so that it can be used in tables.

    Example:
        >>> markdown_code("echo `date`")
        '`` echo `date` ``'
    """
    text = terminal_text(value, limit=limit).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest or not text.strip() else ""
    return f"{fence}{space}{text}{space}{fence}"


def plot_text(value: object, *, limit: int = 40, has_glyph: Callable[[str], bool] | None = None) -> str:
    r"""Escape a label for matplotlib, so that no character starts mathtext; characters without a glyph become escapes.

    Args:
        limit: Largest number of characters; the middle of a longer text is omitted, because labels share a figure.
        has_glyph: True for the characters that the label's fonts contain, by default those of `glyph_test`.

    Example:
        >>> plot_text("$x$")
        '\\$x\\$'
    """
    has_glyph = has_glyph or glyph_test()
    text = "".join(char if has_glyph(char) else _escape(char) for char in terminal_text(value, limit=limit))
    return shortened(text, limit).replace("$", r"\$")


def csv_text(value: object) -> object:
    """Escape a cell of a CSV file, so that no spreadsheet interprets it as a formula; only text and paths are changed.

    Text that starts with `=`, `+`, `-` or `@` gets a leading apostrophe, which marks text in spreadsheets; a path gets
    the prefix `./` instead, so it is still the same path. Unprintable characters become visible escapes. Use JSON if
    the exact names matter.

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


def as_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Convert rows to the text of a CSV file, in which no spreadsheet interprets a cell as a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([csv_text(cell) for cell in row] for row in rows)
    return text.getvalue()


def json_text(content: object) -> str:
    r"""Return indented JSON with only printable characters, from which programs read back the exact content.

    Example:
        >>> print(json_text(["猫\x9b"]))
        [
          "猫\u009b"
        ]
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def glyph_test(families: Sequence[str] | None = None) -> Callable[[str], bool]:
    """Return a function that is true if fonts of matplotlib contain a character, and always true without matplotlib.

    Example:
        >>> glyph_test()("a")
        True
    """
    try:
        from matplotlib.font_manager import FontProperties, findfont, get_font
    except ImportError:
        return lambda _: True
    fonts = []
    for family in families or FontProperties().get_family():
        try:
            # in a list, because a name alone is read as a pattern of fontconfig
            fonts.append(get_font(findfont(FontProperties(family=[family]), fallback_to_default=False)))
        except ValueError:  # the font family is not installed; matplotlib then uses the next one
            continue
    fonts = fonts or [get_font(findfont(FontProperties()))]
    return lambda char: any(font.get_char_index(ord(char)) for font in fonts)


def shortened(text: str, limit: int) -> str:
    """Return the text, or its two ends around an ellipsis if it is too long.

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
    """Return the visible escape of a character, in the form of `repr`, even if the character is printable."""
    short = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(char)
    code = ord(char)
    return short or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _escaped(text: str) -> str:
    return text if text.isprintable() else "".join(char if char.isprintable() else _escape(char) for char in text)


def _escaped_start(found: re.Match[str]) -> str:
    return f"\\{found[1]}" if found[1] else f"{found[2]}\\{found[3]}"
