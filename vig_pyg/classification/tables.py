"""Reading of CSV tables of images, as written by Excel, pandas or scripts."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vig_pyg._io.faults import first_ten
from vig_pyg._io.numbers import counted
from vig_pyg._io.suggest import did_you_mean
from vig_pyg._io.text import terminal_text
from vig_pyg.classification.folders import part_of
from vig_pyg.classification.splits import Samples, Split, chosen, divided
from vig_pyg.image_io._class_folders import composed, some

_log = logging.getLogger(__name__)

COLUMNS = ("path", "label", "split")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))


class _Row(NamedTuple):
    """A row of the table: the number of its last line, and its cells."""

    line: int
    path: str
    label: str
    split: str | None


def read_table(table: Path, *, missing: str = "stop") -> Split:
    r"""Read the images that a table lists in the columns `path`, `label` and optionally `split`.

    Cells are separated by commas, semicolons or tabs. Column names may have any letter case, and additional columns
    are ignored. Paths are absolute, or relative to the folder of the table, with slashes or backslashes. `split`
    contains `train` or `val` (`validation`, `valid`); rows with `test` are ignored. Without `split`, a stratified fifth
    is used for validation.

    Args:
        table: The file, in UTF-8, UTF-16 with a byte-order mark, or the Windows code page 1252.
        missing: `"stop"` raises an error if an image does not exist; `"drop"` does not check this.

    Raises:
        FileNotFoundError: If the table or one of its images does not exist; the message names the row.
        ValueError: If a column is missing, a row is not as expected, or a class has no training images.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     table = Path(folder) / "table.csv"
        ...     _ = table.write_text("path,label,split\na.png,cat,train\nb.png,cat,val\n")
        ...     read_table(table, missing="drop").class_names
        ['cat']
    """
    rows = _located(table, missing)
    class_names, (paths, numbers) = _samples(rows)
    if rows[0].split is None:
        return divided(paths, numbers, class_names, table)
    parts = _parts(table, rows)
    _check_parts(table, rows, parts)
    train, val = (chosen(paths, numbers, [part == wanted for part in parts]) for wanted in ("train", "val"))
    unlearned = set(val[1]) - set(train[1])
    untrained = [name for i, name in enumerate(class_names) if i in unlearned]
    if untrained:
        row = next(row for row in rows if row.label == untrained[0])
        raise ValueError(
            f"{table} has no training images for {len(untrained)} of {len(class_names)} classes ({some(untrained)}; "
            f"the first is in row {row.line}): add training images, or remove these classes."
        )
    return Split(class_names, train, val)


def read_part(table: Path, part: str | None, *, whole: bool) -> tuple[list[str], Samples]:
    r"""Read the images of one part of a table, for evaluation; `read_table` describes the table.

    Args:
        table: The file. Its images need not exist.
        part: `train`, `val` or `test`, as a part may be spelled in the table. By default this is `val`, or `test` if
            the table has only this part. Without a column `split`, `train` and `val` are the parts of `read_table`.
        whole: What is read by default without a column `split`: all images, or the part for validation.

    Returns:
        The names of the classes, and the images.

    Raises:
        FileNotFoundError: If the table does not exist.
        ValueError: If there is no such part, a column is missing, or a row is not as expected.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     table = Path(folder) / "table.csv"
        ...     _ = table.write_text("path,label,split\na.png,cat,test\n")
        ...     read_part(table, None, whole=True)[0]
        ['cat']
    """
    rows = _located(table, "drop")
    class_names, samples = _samples(rows)
    wanted = None if part is None else part_of(part) or part
    if rows[0].split is None:
        if wanted is None and whole:
            return class_names, samples
        if wanted not in (None, "train", "val"):
            raise ValueError(f"{table} has no part {part!r}, because it has no column split; it has 'train' and 'val'.")
        split = divided(*samples, class_names, table)
        return class_names, split.train if wanted == "train" else split.val
    parts = _parts(table, rows)
    there = [name for name in ("train", "val", "test") if name in parts]
    if wanted is None:
        wanted = "test" if there == ["test"] else "val"
    if wanted not in there:
        has, named = " and ".join(map(repr, there)), f"name one, such as split={there[-1]!r} (--split {there[-1]})"
        raise ValueError(f"{table} has no part {part or wanted!r}; it has {has}{'.' if part else f': {named}.'}")
    return class_names, chosen(*samples, [one == wanted for one in parts])


def is_divided(table: Path) -> bool:
    r"""True if a table has the column `split`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     table = Path(folder) / "table.csv"
        ...     _ = table.write_text("path,label\na.png,cat\n")
        ...     is_divided(table)
        False
    """
    return _parse(table)[0].split is not None


def _located(table: Path, missing: str) -> list[_Row]:
    """Return the rows with the paths of their files; `missing` is that of `read_table`."""
    rows = _parse(table)
    found = [_locate(str(table.parent), row.path) for row in rows]
    rows = [row._replace(path=path) for row, (path, _) in zip(rows, found, strict=True)]
    gone = [row for row, (_, exists) in zip(rows, found, strict=True) if not exists]
    if gone and missing == "stop":
        named = first_ten([f"{terminal_text(row.path)} (row {row.line})" for row in gone])
        raise FileNotFoundError(
            f"{len(gone):,} of {counted(len(rows), 'images')} of {table} {'does' if len(gone) == 1 else 'do'} not "
            f"exist; paths must be absolute, or relative to the folder of the table:{named}"
        )
    _check_labels(table, rows)
    return rows


def _samples(rows: Sequence[_Row]) -> tuple[list[str], Samples]:
    """Return the names of the classes, and the images with their class indices."""
    class_names = _sorted({row.label for row in rows})
    number = {name: i for i, name in enumerate(class_names)}
    return class_names, ([row.path for row in rows], [number[row.label] for row in rows])


def _sorted(labels: set[str]) -> list[str]:
    """Sort numbers by value and other names alphabetically; equal numbers also have a fixed order."""
    numbers = all(label.isdecimal() and len(label) < 100 for label in labels)
    return sorted(labels, key=lambda label: (int(label) if numbers else 0, label))


def _parts(table: Path, rows: Sequence[_Row]) -> list[str]:
    """Return `train`, `val` or `test` for each row."""
    spelled = {name: part_of(name) for name in {row.split or "" for row in rows}}
    parts = [spelled[row.split or ""] for row in rows]
    wrong = next((row for row, part in zip(rows, parts, strict=True) if not part), None)
    if wrong:
        raise ValueError(f"{_needs_parts(table, rows)} (row {wrong.line}).")
    return parts


def _needs_parts(table: Path, rows: Sequence[_Row]) -> str:
    return f"The column split of {table} needs train and val, got {sorted({row.split or '' for row in rows})[:10]}"


def _check_parts(table: Path, rows: Sequence[_Row], parts: Sequence[str]) -> None:
    """Raise an error if training has no images in one of its parts, and warn of rows that it does not use."""
    if missing := {"train", "val"} - set(parts):
        word = min(missing)
        where = "the rows to learn from" if word == "train" else "about a fifth of the rows"
        test = ", or in those of test, which training does not use" if {"test"} <= set(parts) - missing else ""
        raise ValueError(
            f"{_needs_parts(table, rows)}: write {word} in {where}{test}, or leave out the column: then a fixed fifth "
            "of all images is used for validation."
        )
    if "test" in parts:
        _log.warning(
            "%s of %s %s to the split test, which training does not use.",
            counted(parts.count("test"), "rows"), terminal_text(table),
            "belongs" if parts.count("test") == 1 else "belong",
        )  # fmt: skip


def _check_labels(table: Path, rows: Sequence[_Row]) -> None:
    """Warn of images with two labels."""
    first: dict[str, _Row] = {}
    twice = [(first[row.path], row) for row in rows if first.setdefault(row.path, row).label != row.label]
    if twice:
        one, other = twice[0]
        _log.warning(
            "%s of %s %s the label in an earlier row: %s is %s in row %s and %s in row %s.",
            counted(len(twice), "rows"),
            terminal_text(table), "contradicts" if len(twice) == 1 else "contradict",
            *map(terminal_text, (one.path, one.label, one.line, other.label, other.line)),
        )  # fmt: skip


def _locate(folder: str, cell: str) -> tuple[str, bool]:
    """Return the file that a cell names, and whether it exists.

    The cell is tried unchanged, then without surrounding spaces, and then with slashes instead of backslashes.
    """
    stripped = cell.strip()
    paths = [os.path.join(folder, name) for name in dict.fromkeys((cell, stripped, stripped.replace("\\", "/")))]
    found = next((path for path in paths if os.path.isfile(path)), None)
    path = found or os.path.join(folder, stripped)
    # the same spelling for each file, because images are identified by their paths
    return str(Path(path)) if "./" in path or "//" in path else path, found is not None


def _parse(table: Path) -> list[_Row]:
    if not table.is_file():
        raise FileNotFoundError(f"The table {table} does not exist.{did_you_mean(table)}")
    text = _decode(table)
    text = re.sub(r"\r\n?", "\n", text)
    text = re.sub(r'\A"?sep=.?"?\n', "\n", text)  # Excel writes the separator into such a line
    start = text.lstrip("\n").partition("\n")[0]
    heads = {delimiter: _cells(start, delimiter)[0] for delimiter in ",;\t|"}
    fitting = [delimiter for delimiter, rows in heads.items() if rows and {"path", "label"} <= set(_head(rows[0][1]))]
    if not fitting:
        got = max((rows[0][1] for rows in heads.values() if rows), key=len, default=[])
        raise ValueError(f"{table} needs the columns path, label and optionally split, got {sorted(got)[:20]}.")
    lines, error = _cells(text, fitting[0])
    if error:
        raise ValueError(f"{table} is not valid CSV after row {lines[-1][0]} ({error}): a quote may be missing.")
    head = _head(lines[0][1])
    again = sorted({name for name in head if name in COLUMNS and head.count(name) > 1})
    if again:
        raise ValueError(f"{table} has two columns called {some(again)}.")
    more = [name for name in head if name and name not in COLUMNS]
    if more:
        _log.warning("%s has additional columns, which are not used: %s.", terminal_text(table), some(more))
    rows = [_row(table, line, head, cells) for line, cells in lines[1:]]
    if not rows:
        raise ValueError(f"{table} has no rows below its header.")
    return rows


def _row(table: Path, line: int, head: list[str], cells: list[str]) -> _Row:
    if len(cells) < len(head) or any(cell.strip() for cell in cells[len(head) :]):
        raise ValueError(
            f"Row {line} of {table} has {counted(len(cells), 'cells')}, but the header has "
            f"{counted(len(head), 'columns')}: correct the row."
        )
    found = dict(zip(head, cells, strict=False))
    for name in ("path", "label"):
        if not found[name].strip():
            raise ValueError(f"Row {line} of {table} has no {name}.")
    split = found["split"].strip() if "split" in found else None
    return _Row(line, found["path"], composed(found["label"].strip()), split)


def _head(cells: list[str]) -> list[str]:
    return [name.strip().casefold() for name in cells]


def _cells(text: str, delimiter: str) -> tuple[list[tuple[int, list[str]]], str]:
    """Return the line number and cells of all non-empty rows, and the error that ended the reading, if any."""
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    rows = []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((reader.line_num, cells))
    except csv.Error as error:
        return rows, str(error)
    return rows, ""


def _decode(table: Path) -> str:
    content = table.read_bytes()
    mark, encoding = next(((mark, name) for mark, name in _BOMS if content.startswith(mark)), (b"", "utf-8"))
    content = content[len(mark) :]
    if b"\0" in content and encoding == "utf-8":
        raise ValueError(f"{table} is not a text file: expected a folder of images, or a table saved as CSV in UTF-8.")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if mark:
            raise ValueError(f"{table} is not in {encoding.upper()}, as its first bytes declare ({error}).") from error
    _log.warning("%s is not in UTF-8: it is read with the Windows code page 1252.", terminal_text(table))
    return content.decode("cp1252", errors="replace")
