import csv

import pytest
import torch
from safetensors.torch import load_file

from tests.classification.job import run
from vig_pyg.artifact import BEST
from vig_pyg.engine.metrics import MetricsHistory

pytestmark = pytest.mark.usefixtures("blank_pictures")


def history(*accuracies, **options):
    made = MetricsHistory("val_accuracy", **options)
    made.rows = [{"epoch": i + 1, "val_accuracy": a} for i, a in enumerate(accuracies)]
    return made


def test_the_best_is_the_first_of_the_highest():
    assert history(0.1, 0.5, 0.5, 0.2).best == 1
    assert history(0.1, 0.5, 0.2, keep="best").kept["epoch"] == 2
    assert history(0.1, 0.5, 0.2).kept["epoch"] == 3


@pytest.mark.parametrize(("patience", "stops"), [(None, False), (1, True), (2, True), (3, False)])
def test_patience_counts_epochs_without_a_better_one(patience, stops):
    assert history(0.1, 0.5, 0.5, 0.2, patience=patience)._waited_enough() is stops


def test_its_state_goes_round():
    made = history(0.1, 0.5)
    made.counts, made.steps = torch.eye(2), [{"train_loss": 2.0}]
    other = MetricsHistory("val_accuracy")
    other.load_state_dict(made.state_dict())
    assert (other.rows, other.counts.tolist()) == (made.rows, [[1, 0], [0, 1]])
    assert other.steps == [{"train_loss": 2.0}]
    with pytest.raises(TypeError, match="not numbers"):
        other.load_state_dict({**made.state_dict(), "steps": [{"train_loss": "2"}]})


def test_a_run_writes_its_rows_and_the_best_weights(tmp_path):
    kept = run(tmp_path / "run", lr=3e-3, epochs=4, keep="best")
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    accuracies = [float(row["val_accuracy"]) for row in rows]
    assert kept["val_accuracy"] == max(accuracies)
    best, final = (load_file(tmp_path / "run" / name) for name in (BEST, "model.safetensors"))
    assert all(torch.equal(best[key], final[key]) for key in best)


def test_a_run_stops_early_and_stays_stopped(tmp_path):
    kept = run(tmp_path / "run", epochs=50, lr=1e-12, patience=2)
    assert kept["epoch"] < 50
    assert run(tmp_path / "run", epochs=50, lr=1e-12, patience=2, resume=True) == kept
