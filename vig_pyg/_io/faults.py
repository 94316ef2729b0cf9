"""Lists of files that cannot be used, for messages: the number of all of them, and the first ones, one in a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from vig_pyg._io.numbers import counted
from vig_pyg._io.text import error_text, terminal_text

T = TypeVar("T")
R = TypeVar("R")
#: Number of faults that a message names.
MOST_NAMED = 10


class Fault(str):
    """A file that cannot be used and the reason, as a text that also has both for the columns of a table.

    Args:
        file: The file, or the name of an image that is stored in another file.
        reason: The reason, without the name of the file.

    Example:
        >>> fault = Fault("a.png", "the file is empty")
        >>> fault, fault.file, fault.reason
        ('a.png: the file is empty', 'a.png', 'the file is empty')
    """

    file: object
    reason: str

    def __new__(cls, file: object, reason: str) -> Fault:
        fault = super().__new__(cls, f"{terminal_text(file)}: {reason}")
        fault.file, fault.reason = file, reason
        return fault

    def __getnewargs__(self) -> tuple[object, str]:  # type: ignore[override]
        return self.file, self.reason


def reason_of(error: Exception) -> str:
    """Return why an image cannot be read, without its name.

    Example:
        >>> reason_of(ValueError("the file is empty"))
        'the file is empty'
    """
    if isinstance(error, FileNotFoundError) and str(error).startswith("There is no image at "):
        return "it is a folder" if str(error).endswith(": it is a folder.") else "there is no such image"
    return str(error)


def fault_of(file: object, error: Exception) -> Fault:
    """Return a file that cannot be used with the reason, in one line; a message that starts with the file is shortened.

    Example:
        >>> fault_of("a.png", ValueError("a.png cannot be read: the file is empty.")).reason
        'cannot be read: the file is empty'
    """
    text = str(error)
    reason = text.removeprefix(f"{file} ") if text.startswith(f"{file} ") else reason_of(error)
    return Fault(file, error_text(ValueError(reason) if reason else error).rstrip("."))


def list_faults(
    faults: Sequence[str], total: int, *, problem: str = "cannot be used", what: str = "images", advice: str = ""
) -> str:
    """Return the number of faults, and below it the first ten of them, one in a line; a single fault as it is.

    Args:
        faults: One text for each fault, with the name of the file; its final period is removed.
        problem: What is wrong, as the verb of a sentence.
        advice: What to do, as the rest of the sentence.

    Example:
        >>> print(list_faults(["a.png is empty.", "b.png is empty."], 5, advice="; remove them"))
        2 of 5 images cannot be used; remove them:
          a.png is empty
          b.png is empty
        >>> list_faults(["a.png is empty."], 5, advice="; remove it")
        'a.png is empty; remove it.'
    """
    if len(faults) == 1:
        return f"{terminal_text(faults[0].rstrip('.'))}{advice}."  # escaped like each line of a list
    return f"{len(faults):,} of {counted(total, what)} {problem}{advice}:{first_ten(faults)}"


def all_faults(errors: Sequence[Exception], what: str) -> Exception:
    r"""Return one error for all of several, whose lists are shortened and marked; a single one as it is.

    Args:
        errors: The errors, at least one; the result has the kind of the first.
        what: What cannot be used, as the subject of a sentence in the plural.

    Example:
        >>> masks = ValueError("2 of 9 masks cannot be used:\n  a.png\n  b.png")
        >>> print(all_faults([masks, ValueError("There is no list 'val'.")], "The images"))
        The images cannot be used:
          2 of 9 masks cannot be used:
          - a.png
          - b.png
          There is no list 'val'
    """
    if len(errors) == 1:
        return errors[0]
    most = (MOST_NAMED - 2 * len(errors)) // len(errors)  # beside the first line of each, and a line for the others
    lines = []
    for error in errors:
        first, *items = str(error).split("\n  ")
        more = [f"and {len(items) - most:,} more"] if len(items) > most else []
        lines += [first, *(f"- {item}" for item in [*items[:most], *more])]
    kind = OSError if isinstance(errors[0], OSError) else ValueError
    return (type(errors[0]) if type(errors[0]) in (FileNotFoundError, ValueError) else kind)(
        f"{what} cannot be used:{first_ten(lines)}"
    )


def read_each(read: Callable[[T], R], items: Iterable[T], errors: list[Exception]) -> list[R]:
    """Read items, and add the errors of those that cannot be read to a list.

    Args:
        read: Function that reads an item.
        items: The items.
        errors: The list, which is changed in place.

    Example:
        >>> errors = []
        >>> read_each(int, ["1", "x"], errors), len(errors)
        ([1], 1)
    """
    found = []
    for item in items:
        try:
            found.append(read(item))
        except (OSError, ValueError) as error:
            errors.append(error)
    return found


def raise_all(errors: Sequence[Exception], total: int, *, what: str) -> None:
    """Raise an error that lists all of several; nothing happens without one.

    Args:
        errors: The errors.
        total: Number of things that were read.
        what: What they are, in the plural.

    Raises:
        ValueError, OSError: Of the kind of the first error.

    Example:
        >>> raise_all([], 5, what="annotations")
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        kind = type(errors[0]) if type(errors[0]) in (FileNotFoundError, ValueError) else ValueError
        raise kind(list_faults(list(map(str, errors)), total, what=what)) from errors[0]


def first_ten(faults: Sequence[str]) -> str:
    r"""Return texts for the end of a message, after its colon: one in the same line, and several in lines below it.

    Only the first ten are shown, escaped, so that each has one line (see `vig_pyg._io.text.message_text`).

    Example:
        >>> first_ten(["a.png is empty"]), first_ten(["a.png", "b\n.png"])
        (' a.png is empty.', '\n  a.png\n  b\\n.png')
        >>> first_ten("abcdefghijkl").rpartition("j")[2]
        '\n  and 2 more'
    """
    named = [terminal_text(fault.rstrip(".")) for fault in faults[:MOST_NAMED]]
    if len(faults) == 1:
        return f" {named[0]}."
    more = [f"and {len(faults) - MOST_NAMED:,} more"] if len(faults) > MOST_NAMED else []
    return "".join(f"\n  {line}" for line in [*named, *more])


def none_readable(faults: Sequence[str]) -> str:
    """Return the message that no image could be read, with the first ten reasons.

    Example:
        >>> none_readable(["a.png: empty"])
        'The only image could not be read: a.png: empty.'
    """
    start = "The only image could not" if len(faults) == 1 else f"None of {len(faults):,} images could"
    return f"{start} be read:{first_ten(faults)}"
