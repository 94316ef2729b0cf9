"""Lists of files that cannot be used, for messages: the number of all of them, and the first ones, one in a line."""

from __future__ import annotations

from collections.abc import Sequence

from vig_pyg._io.numbers import counted
from vig_pyg._io.text import terminal_text

#: Number of faults that a message names.
MOST_NAMED = 10


def list_faults(
    faults: Sequence[str], total: int, *, problem: str = "cannot be used", what: str = "images", advice: str = ""
) -> str:
    """Return the number of faults, and below it the first ten of them, one in a line; a single fault as it is.

    Args:
        faults: One text for each fault, with the name of the file; its final period is removed.
        total: Number of files that were read.
        problem: What is wrong, as the verb of a sentence.
        what: What is counted, in the plural.
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
        return f"{faults[0].rstrip('.')}{advice}."
    return f"{len(faults):,} of {counted(total, what)} {problem}{advice}:{first_ten(faults)}"


def first_ten(faults: Sequence[str]) -> str:
    r"""Return texts for the end of a message, after its colon: one in the same line, and several in lines below it.

    Only the first ten are shown, escaped, so that each has one line (see `vig_pyg._io.text.message_text`).

    Args:
        faults: The texts.

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

    Args:
        faults: A text for each image.

    Example:
        >>> none_readable(["a.png: empty"])
        'The only image could not be read: a.png: empty.'
    """
    start = "The only image could not" if len(faults) == 1 else f"None of {len(faults):,} images could"
    return f"{start} be read:{first_ten(faults)}"
