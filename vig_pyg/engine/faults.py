"""The images of a data set that cannot be read, for the message of a run or an evaluation that one of them stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from vig_pyg._io.faults import list_faults

#: Largest number of images of a data set that are read to name all faults; it bounds the time after an error.
MOST_READ = 10_000
#: The files of images (`""` for images in memory, several files in a tuple), and a function that reads an image by its
#: index. It raises `ValueError` or `OSError` with the name of the file.
Readable = tuple[Sequence[str | tuple[str, ...]], Callable[[int], Any]]


def with_all_faults(error: str, sets: Sequence[Readable], *, one: str = "", several: str = "") -> str:
    r"""Return an error about an image together with the other images that cannot be read.

    Otherwise a user would meet them one by one, and start the command again for each.

    Returns:
        The number of all images that cannot be read, and the first ones by name; or the error with the advice, if this
        is the only one; or the error as it is, if it is about something else.

    Example:
        >>> def read(i):
        ...     if i != 1: raise ValueError(f"{i}.png is empty.")
        >>> with_all_faults("0.png is empty.", [(["0.png", "1.png", "2.png"], read)])
        '2 of 3 images cannot be used:\n  0.png is empty\n  2.png is empty'
        >>> with_all_faults("the loss is not finite", [(["0.png", "1.png", "2.png"], read)])
        'the loss is not finite'
    """
    each = (name for names, _ in sets for name in names)
    files = (file for name in each for file in ([name] if isinstance(name, str) else name))
    if not any(file and file in error for file in files):
        return error
    found = [fault for names, read in sets for fault in faults_of(read, len(names))]
    if len(found) == 1 and found[0].rstrip(".") in error and one not in error:
        return f"{error.rstrip('.')}{one}."
    if len(found) < 2:
        return error
    total = sum(min(len(names), MOST_READ) for names, _ in sets)
    return list_faults([fault.rstrip(".").removesuffix(one) for fault in found], total, advice=several)


def faults_of(read: Callable[[int], Any], count: int) -> list[str]:
    """Return the messages of all images that cannot be read.

    Example:
        >>> def read(i):
        ...     if i > 1: raise ValueError(f"{i}.png is empty.")
        >>> faults_of(read, 4)
        ['2.png is empty.', '3.png is empty.']
    """

    def fault(i: int) -> str:
        try:
            read(i)
        except (ValueError, OSError) as error:
            return str(error)
        except Exception:  # for example, because memory is short: the error that is to be told must not be lost
            return ""
        return ""

    with ThreadPoolExecutor() as pool:  # decoders release the interpreter's lock
        return [found for found in pool.map(fault, range(min(count, MOST_READ))) if found]


@contextmanager
def naming_all_faults(images: Readable, *, one: str = "", several: str = "") -> Iterator[None]:
    """A context in which an error about an image also names the other images that cannot be read.

    Raises:
        ValueError, OSError: Of the same type as the error about one image.

    Example:
        >>> with naming_all_faults((["a.png"], len)):
        ...     raise ValueError("the score must be a number")
        Traceback (most recent call last):
        ValueError: the score must be a number
    """
    try:
        yield
    except (ValueError, OSError) as error:
        text = with_all_faults(str(error), [images], one=one, several=several)
        if text == str(error):
            raise
        raise (ValueError if isinstance(error, ValueError) else OSError)(text) from error
