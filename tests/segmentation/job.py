"""A training run of a segmentation network, as a process: `python -m tests.segmentation.job DATA OUT 0|1 key=value`."""

import json
import os
import sys

from tests.segmentation.common import fit, plan
from vig_pyg.engine import TrainingInterrupted

#: Random numbers: dropped paths, dropped neighbors, dropped channels.
DRAWS = {"drop_path_rate": 0.3, "stochastic": True, "epsilon": 0.5, "head_dropout": 0.3}


def run(data, out, *, resume=False, options=None, **values):
    """Train for three epochs of two steps."""
    config = plan(data, options=DRAWS if options is None else options, **{"epochs": 3, "evaluate_every": 3, **values})
    return fit(config, out, resume=resume)


if __name__ == "__main__":
    pairs = (pair.split("=", 1) for pair in sys.argv[4:])
    values = {key: json.loads(value) for key, value in pairs}
    try:
        kept = run(sys.argv[1], sys.argv[2], resume=sys.argv[3] == "1", **values)
    except TrainingInterrupted as stop:
        sys.exit(128 + stop.signum)
    print(os.environ.get("RANK", "0"), json.dumps(kept))
