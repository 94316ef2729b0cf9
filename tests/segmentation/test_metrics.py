import math

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, jaccard_score

from vig_pyg.segmentation.metrics import scores_of


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_scikit_learn_s(seed):
    rng = np.random.default_rng(seed)
    truth, found = rng.choice(5, 300, p=[0.5, 0.3, 0.1, 0.1, 0]), rng.choice(5, 300, p=[0.4, 0.3, 0.2, 0.1, 0])
    found = np.where(rng.random(300) < 0.5, truth, found)
    scores = scores_of(torch.from_numpy(confusion_matrix(truth, found, labels=range(5))))
    ious = jaccard_score(truth, found, labels=range(4), average=None)
    assert scores.ious[:4] == pytest.approx(ious) and math.isnan(scores.ious[4])
    assert scores.miou == pytest.approx(ious.mean())
    assert scores.pixel_accuracy == pytest.approx(accuracy_score(truth, found))
    assert scores.mean_accuracy == pytest.approx(balanced_accuracy_score(truth, found))


def test_a_class_that_is_only_predicted_counts_as_zero():
    scores = scores_of(torch.tensor([[3, 1, 0], [0, 0, 0], [0, 0, 4]]))
    assert scores.ious == pytest.approx([0.75, 0, 1]) and scores.miou == pytest.approx(1.75 / 3)
    row = scores.row(["a", "b", "c d"])
    assert row["val_IoU_c d"] == 1 and row["val_mIoU"] == scores.miou
    assert "val_IoU_b" not in scores_of(torch.tensor([[3, 0], [0, 0]])).row(["a", "b"])


def test_nothing_labeled_is_an_error():
    with pytest.raises(ValueError, match="all of their masks are ignored"):
        scores_of(torch.zeros(3, 3))
