"""A training run of a detector, as a process: `python -m tests.detection.job COCO OUT 0|1 key=value ...`."""

import json
import os
import sys

from tests.detection.common import fit, plan
from vig_pyg.engine import TrainingInterrupted

#: Random numbers: dropped paths, dropped neighbors, samples of boxes.
DRAWS = {"drop_path_rate": 0.3, "stochastic": True, "epsilon": 0.5}


def run(coco, out, *, resume=False, options=None, **values):
    """Train for three epochs of two steps."""
    config = plan(coco, options=DRAWS if options is None else options, **{"epochs": 3, "evaluate_every": 3, **values})
    return fit(config, out, resume=resume)


if __name__ == "__main__":
    pairs = (pair.split("=", 1) for pair in sys.argv[4:])
    try:
        kept = run(
            sys.argv[1],
            sys.argv[2],
            resume=sys.argv[3] == "1",
            **{key: json.loads(value) for key, value in pairs},
        )
    except TrainingInterrupted as stop:
        sys.exit(128 + stop.signum)
    print(os.environ.get("RANK", "0"), json.dumps(kept))
