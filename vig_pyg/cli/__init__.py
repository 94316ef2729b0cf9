"""The command `vig-pyg`, a file for each of its commands. Heavy imports wait until a command needs them."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

from vig_pyg.cli import convert, detect, evaluate, graph, models, predict, train

#: In the order of the help. Each has `add(commands)` and `run(args)`, which may return an exit status.
COMMANDS = (train, predict, evaluate, convert, graph, models, detect)

#: What a user can cause and mend: one line, no traceback.
USER_ERRORS = (
    ValueError,
    TypeError,
    OSError,
    ImportError,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        The exit status: 0; 1 if some of the pictures could not be read; 2 after an error in what the user gave; 130
        after Ctrl-C; 141 if nobody reads what it prints; or the command's own.
    """
    args = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files and classes may be more than it can show
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status: int | None = args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of what we print has enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it ends
        return 141
    except KeyboardInterrupt:
        print("vig-pyg: stopped; nothing was written", file=sys.stderr)
        return 130
    except USER_ERRORS as error:
        if args.debug:
            raise
        print(f"vig-pyg: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if args.debug or not _out_of_memory(error):
            raise
        print("vig-pyg: there is not enough memory: try a smaller --batch-size or --image-size", file=sys.stderr)
        return 2
    return status or 0


def _out_of_memory(error: Exception) -> bool:
    """Whether Python, a GPU (CUDA out of memory) or torch on a CPU (can't allocate memory) ran out of memory."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in words or "can't allocate memory" in words


def _parser() -> argparse.ArgumentParser:
    from importlib.metadata import version

    parser = argparse.ArgumentParser(prog="vig-pyg", description="Vision GNN on PyTorch Geometric.")
    parser.add_argument("--version", action="version", version=version("vig-pyg"))
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
