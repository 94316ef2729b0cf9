import json

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch_geometric.nn import MessagePassing

from tests.classification.job import NETWORK, few_digits
from vig_pyg import vig_micro
from vig_pyg.classification import ClassificationConfig
from vig_pyg.classification.module import Classifier
from vig_pyg.engine import fit
from vig_pyg.engine.task import LossNotFiniteError

QUICK = {"epochs": 1, "accelerator": "cpu"}


class MeanConv(MessagePassing):
    """The operator of a user: the mean over the neighbors, as PyG's own are written."""

    def __init__(self, in_channels, out_channels, heads=1):
        super().__init__(aggr="mean")
        self.nn = nn.Linear(2 * in_channels, out_channels)

    def forward(self, x, edge_index):
        x_src, x_dst = (x, x) if torch.is_tensor(x) else x
        mean = self.propagate(edge_index, x=(x_src, x_dst), size=(len(x_src), len(x_dst)))
        return self.nn(torch.cat([x_dst, mean], -1))

    def message(self, x_j):
        return x_j


class Plain(nn.Module):
    """A network that is none of ours."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(256, 16), nn.ReLU())
        self.head = nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.body(images))


def test_a_network_with_an_operator_of_ones_own_is_trained(tmp_path):
    model = vig_micro(conv=MeanConv, num_classes=10, in_channels=1, image_size=16, **NETWORK)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    kept = fit(model, few_digits(), ClassificationConfig(**QUICK), tmp_path / "run", progress=False)
    state = load_file(tmp_path / "run" / "model.safetensors")
    assert 0 <= kept["val_accuracy"] <= 1
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert any("nn.weight" in key and not torch.equal(before[key], state[key]) for key in state)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["model"]["conv"] == "tests.engine.test_task:MeanConv"


@pytest.mark.parametrize("values", [{}, {"ema": 0.9}, {"freeze": True}, {"layer_decay": 0.5}, {"keep": "best"}])
def test_any_network_is_trained_and_resumed(tmp_path, values):
    config = ClassificationConfig(**QUICK, **values)
    torch.manual_seed(0)
    model = Plain()
    first = model.body[1].weight.clone()
    kept = fit(model, few_digits(), config, tmp_path / "run", progress=False)
    assert torch.equal(model.body[1].weight, first) == bool(values.get("freeze"))
    assert fit(Plain(), few_digits(), config, tmp_path / "run", resume=True, progress=False) == kept
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"README.md", "confusion.png", "curves.png", "metrics.csv", "model.safetensors"} <= names


def test_a_network_that_is_frozen_as_a_whole_is_refused():
    with pytest.raises(ValueError, match="freeze=true leaves nothing to train in this Sequential"):
        Classifier(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), ClassificationConfig(freeze=True), num_classes=2)


def test_the_meter_takes_any_number_of_losses():
    task = Classifier(vig_micro(num_classes=2, depth=1), ClassificationConfig(), num_classes=2)
    task.add_to_meter(torch.tensor([2.0, 6.0], dtype=torch.float64), 2)
    task.add_to_meter(torch.tensor([1.0, 3.0], dtype=torch.float64), 1)
    assert task.meter.tolist() == [3, 9, 3]
    task.check_finite()
    task.add_to_meter(torch.tensor([torch.nan, 3.0], dtype=torch.float64), 1)
    task._trainer = type("T", (), {"global_step": 7})()
    with pytest.raises(LossNotFiniteError, match="The loss is nan at step"):
        task.check_finite()


def test_the_losses_of_steps_are_means_over_their_images():
    config = ClassificationConfig(epochs=1, accumulate=2)
    task = Classifier(vig_micro(num_classes=2, depth=1), config, num_classes=2)
    task.of_all = lambda meter: torch.stack([meter, meter])  # two processes
    task.parts = ["loss", "box"]
    assert task.step_losses() == []
    for sums, count in (([2.0, 6.0], 2), ([1.0, 3.0], 1), ([8.0, 4.0], 2), ([0.0, 0.0], 2)):
        task.add_to_meter(torch.tensor(sums, dtype=torch.float64), count)
    assert task.step_losses() == [{"train_loss": 1.0, "train_box": 3.0}, {"train_loss": 2.0, "train_box": 1.0}]
    task.on_train_epoch_start()
    assert task.step_losses() == []


def test_evaluations_may_be_rare_but_the_last_epoch_has_one(tmp_path):
    model = vig_micro(num_classes=10, in_channels=1, image_size=16, **NETWORK)
    config = ClassificationConfig(epochs=5, evaluate_every=2, accelerator="cpu", keep="best")
    kept = fit(model, few_digits(), config, tmp_path / "run", progress=False)
    lines = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    column = lines[0].split(",").index("val_accuracy")
    assert [bool(line.split(",")[column]) for line in lines[1:]] == [False, True, False, True, True]
    assert "val_accuracy" in kept
