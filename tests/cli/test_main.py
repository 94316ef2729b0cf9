import subprocess
import sys

import pytest


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_is_printed(argv):
    code = f"import sys\nsys.argv = ['vig-pyg', *{argv!r}]\n"
    code += "try:\n    from vig_pyg.cli import main; main()\nexcept SystemExit as e: assert e.code == 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout
