"""`python -m vig_pyg` is `vig-pyg`."""

import sys

from vig_pyg.cli import main

sys.exit(main())
