"""Lists of files that cannot be used, for messages: the number of all of them, and the first ones by name."""

from __future__ import annotations

from collections.abc import Sequence

from vig_pyg._io.numbers import counted

#: Number of faults that a message names.
MOST_NAMED = 10


def list_faults(faults: Sequence[str], total: int, *, problem: str = "cannot be used", what: str = "images") -> str:
    """Return the number of faults, and the first ten of them, without a final period; a single fault as it is.

    Args:
        faults: One text for each fault, with the name of the file; its final period is removed.
        total: Number of files that were read.
        problem: What is wrong, as the verb of a sentence.
        what: What is counted, in the plural.

    Example:
        >>> list_faults(["a.png is empty.", "b.png is empty."], 5)
        '2 of 5 images cannot be used: a.png is empty; b.png is empty'
        >>> list_faults([f"{i}.png" for i in range(12)], 40, problem="do not exist").partition("; 9.png")[2]
        '; and 2 more'
        >>> list_faults(["a.png is empty."], 5)
        'a.png is empty'
    """
    if len(faults) == 1:
        return first_ten(faults)
    return f"{len(faults):,} of {counted(total, what)} {problem}: {first_ten(faults)}"


def first_ten(faults: Sequence[str]) -> str:
    """Return the first ten texts in one line, without final periods, and how many more there are.

    Args:
        faults: The texts.

    Example:
        >>> first_ten(["a.png", "b.png"]), first_ten("abcdefghijkl")
        ('a.png; b.png', 'a; b; c; d; e; f; g; h; i; j; and 2 more')
    """
    named = [fault.rstrip(".") for fault in faults[:MOST_NAMED]]
    more = [f"and {len(faults) - MOST_NAMED:,} more"] if len(faults) > MOST_NAMED else []
    return "; ".join([*named, *more])


def none_readable(faults: Sequence[str]) -> str:
    """Return the message that no image could be read, with the first ten reasons.

    Args:
        faults: A text for each image.

    Example:
        >>> none_readable(["a.png: empty"])
        'The only image could not be read: a.png: empty.'
    """
    start = "The only image could not" if len(faults) == 1 else f"None of {len(faults):,} images could"
    return f"{start} be read: {first_ten(faults)}."
