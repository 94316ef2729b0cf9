"""A training run of seconds, also as a process: `python -m tests.classification.job OUT 0|1 key=value ...`."""

import json
import os
import sys

import yaml

from vig_pyg.classification import DigitsData, load_config, make_model
from vig_pyg.engine import TrainingInterrupted
from vig_pyg.engine import fit as fit_network

NETWORK = {"depth": 2, "patch_size": 4, "channels": 32, "head_channels": 32}


def few_digits(train=192, val=65, **options):
    """So few that an epoch takes a moment."""
    data = DigitsData(**options)
    for part, count in ((data.train_set, train), (data.val_set, val)):
        part.sources, part.labels = part.sources[:count], part.labels[:count]
    return data


def fit(data, out, *, model, options, recipe, **rest):
    """`vig_pyg.engine.fit` with a network by its name."""
    network = make_model(model, options, data, seed=recipe.seed)
    given = [*options, "num_classes", "in_channels", "image_size"]
    return fit_network(network, data, recipe, out, overridden=given, **rest)


def run(out, *, resume=False, **values):
    """Train; three epochs of six steps. Text is read as YAML reads it."""
    values = {key: yaml.safe_load(value) if isinstance(value, str) else value for key, value in values.items()}
    recipe = load_config("digits", ("test", {"epochs": 3, "batch_size": 32, "lr": 1e-3, **values}))
    data = few_digits(batch_size=recipe.batch_size, num_workers=recipe.num_workers, augmentation=recipe.augmentation)
    return fit(data, out, model="vig_micro", options=NETWORK, recipe=recipe, progress=False, resume=resume)


if __name__ == "__main__":
    try:
        kept = run(
            sys.argv[1],
            resume=sys.argv[2] == "1",
            **dict(pair.split("=") for pair in sys.argv[3:]),
        )
    except TrainingInterrupted as stop:
        sys.exit(128 + stop.signum)
    print(os.environ.get("RANK", "0"), json.dumps(kept))
