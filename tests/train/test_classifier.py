import csv

import lightning
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from vig_pyg import vig_micro
from vig_pyg.train.classifier import Classifier, History


def classifier(**options):
    torch.manual_seed(0)
    return Classifier(
        vig_micro(num_classes=2, depth=1),
        **({"lr": 1e-2, "weight_decay": 0.1, "warmup": 0.5, "label_smoothing": 0.0} | options),
    )


def run(module, images, labels, epochs=2):
    history = History()
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=epochs, callbacks=[history], logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader, loader)
    return history


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec")
class TestRuns:
    def test_learns_and_counts(self, tmp_path):
        labels = torch.tensor([0, 1] * 8)
        images = torch.randn(16, 3, 32, 32) * 0.1 + labels.view(-1, 1, 1, 1) * 2.0 - 1
        module = classifier()
        history = run(module, images, labels, epochs=4)
        assert [row["epoch"] for row in history.rows] == [1, 2, 3, 4]
        assert history.rows[-1]["train_loss"] < history.rows[0]["train_loss"]
        assert history.rows[-1]["val_accuracy"] == 1
        assert module.confusion.compute().tolist() == [[8, 0], [0, 8]]
        history.write(tmp_path / "metrics.csv")
        with (tmp_path / "metrics.csv").open() as file:
            assert [float(row["val_loss"]) for row in csv.DictReader(file)] == [r["val_loss"] for r in history.rows]

    def test_a_loss_that_is_not_finite_stops_with_the_step(self):
        module = classifier()
        with torch.no_grad():
            module.model.head.fc2.bias.fill_(torch.nan)
        with pytest.raises(ValueError, match="The loss is nan at step 0: lower the learning rate"):
            run(module, torch.randn(8, 3, 32, 32), torch.zeros(8, dtype=torch.long))

    def test_the_rate_rises_then_falls(self):
        module, seen = classifier(), []
        module.on_train_batch_end = lambda *_: seen.append(module.optimizers().param_groups[0]["lr"])
        run(module, torch.randn(16, 3, 32, 32), torch.tensor([0, 1] * 8), epochs=2)
        peak = seen.index(max(seen))
        assert len(seen) == 8
        assert 0 < peak < 7
        assert seen[-1] < 0.2 * max(seen)


def test_only_weights_decay():
    module = classifier()
    module.trainer = type("T", (), {"estimated_stepping_batches": 10})()
    decayed, others = module.configure_optimizers()["optimizer"].param_groups
    assert decayed["weight_decay"] == 0.1
    assert others["weight_decay"] == 0
    assert all(p.dim() > 1 for p in decayed["params"])
    assert any(p is module.model.pos_embed.weight for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(list(module.model.parameters()))
