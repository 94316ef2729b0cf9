"""Run a Python script with our models in timm's registry: `python -m vig_pyg.timm SCRIPT [ARGUMENTS ...]`."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import vig_pyg.timm


def main(arguments: list[str]) -> None:
    """Run the script that the first argument names, as Python would run it.

    Raises:
        SystemExit: If there is no such script, with a message; the script may raise it too.
    """
    if not arguments or not Path(arguments[0]).is_file():
        what = f"no script {arguments[0]}" if arguments else "no script"
        raise SystemExit(f"{what}: python -m {vig_pyg.timm.__name__} SCRIPT [ARGUMENTS ...] runs one.")
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).resolve().parent)
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
