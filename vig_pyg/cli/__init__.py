"""The command `vig-pyg`, with one file for each subcommand. Slow imports are delayed until a command needs them."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from vig_pyg._io.launcher import launcher
from vig_pyg._io.signals import exit_status, signals_raise
from vig_pyg._io.text import message_text
from vig_pyg.cli import ablate, completion, convert, detect, doctor, evaluate, graph, models, predict, segment, train
from vig_pyg.cli._parser import Examples, Parser, empty_argument, show_help

#: The modules of the commands, in the order of the help. Each has `add(commands)`, and `run(args)`, which may return an
#: exit status.
COMMANDS = (train, predict, evaluate, graph, ablate, detect, segment, models, convert, doctor, completion)

EXAMPLES = """\
three examples:
  vig-pyg train                           train a small network on handwritten digits, in about a minute
  vig-pyg train --data photos             train on your own images: a folder with one folder for each class
  vig-pyg graph runs/photos photo.jpg     draw which patches of a photo a trained network connects

vig-pyg COMMAND --help explains a command, and vig-pyg doctor checks the installation.
"""

#: Errors that a user can cause and fix; they are shown as one line without a traceback.
USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit status: 0 after success; 1 if some images could not be read; 2 after an error in the arguments or
        files of the user; 130 after Ctrl-C; 143 after SIGTERM; 141 if the reader of a pipe has closed it; or a status
        of the subcommand.
    """
    if told := empty_argument(sys.argv[1:] if argv is None else argv):
        print(f"vig-pyg: {told}", file=sys.stderr)
        raise SystemExit(2)  # as for other arguments that cannot be parsed
    args = make_parser().parse_args(argv)
    # The encoding may not support all characters in names of files and classes.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with _plain_warnings(), signals_raise():
            status: int | None = args.run(args)
        if sys.stdout is not None:  # stdout is None if the shell has closed it (>&-)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has closed the pipe
        _print_no_more()
        return 141
    except KeyboardInterrupt as stop:
        print("vig-pyg: stopped; nothing was written", file=sys.stderr)
        return exit_status(stop)
    except USER_ERRORS as error:
        if args.debug:
            raise
        print(f"vig-pyg: {_unprintable() or message_text(error)}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if args.debug or not _out_of_memory(error):
            raise
        print("vig-pyg: there is not enough memory: try a smaller --batch-size or --image-size", file=sys.stderr)
        return 2
    return status or 0


def _print_no_more() -> None:
    """Discard the remaining output, because Python would otherwise report an error when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unprintable() -> str:
    """Return the reason why output cannot be printed, such as a full disk, or `""`."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _print_no_more()
        return f"The output cannot be printed ({error.strerror}); the written files are complete."
    return ""


def _out_of_memory(error: Exception) -> bool:
    """True if Python, a GPU (CUDA out of memory) or torch on a CPU (can't allocate memory) ran out of memory."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


class _MessageLines(logging.Formatter):
    """A formatter that writes a log record as one line of printable text, and the lines of its list below it."""

    def format(self, record: logging.LogRecord) -> str:
        return f"vig-pyg: {message_text(record.getMessage())}"


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """Print warnings and, without a log handler, log records as lines of printable text."""
    before = warnings.formatwarning, logging.lastResort
    warnings.formatwarning = _one_line
    logging.lastResort = logging.StreamHandler(sys.stderr)
    logging.lastResort.setLevel(logging.WARNING)
    logging.lastResort.setFormatter(_MessageLines())
    try:
        yield
    finally:
        warnings.formatwarning, logging.lastResort = before


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    return f"vig-pyg: warning: {message_text(message)}\n"


def make_parser() -> argparse.ArgumentParser:
    """Create the parser with all commands."""
    from importlib.metadata import version

    parser: argparse.ArgumentParser = Parser(
        prog="vig-pyg",
        description="Vision GNN for PyTorch Geometric: images as graphs of patches.",
        epilog=EXAMPLES.replace("vig-pyg ", f"{launcher()} "),
        formatter_class=Examples,
    )
    parser.add_argument("--version", action="version", version=version("vig-pyg"))
    parser.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    show_help(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
