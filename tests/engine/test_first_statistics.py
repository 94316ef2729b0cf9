import pytest
import torch
from torch import nn

from tests.classification.job import few_digits, fit, run
from vig_pyg.classification import load_config
from vig_pyg.engine.first_statistics import FirstStatistics, is_untouched

pytestmark = pytest.mark.usefixtures("blank_pictures")


class OneNorm(nn.Module):
    def __init__(self, momentum):
        super().__init__()
        self.norm, self.fc = nn.BatchNorm1d(16 * 16, momentum=momentum), nn.Linear(16 * 16, 10)
        self.means = []

    def forward(self, x):
        if self.training:
            self.means.append(x.flatten(1).mean(0).double())
        return self.fc(self.norm(x.flatten(1)))


def train(out, model, epochs=1, **values):
    config = load_config("digits", ("test", {"epochs": epochs, "batch_size": 32, "lr": 1e-3, **values}))
    from vig_pyg.engine import fit as fit_network

    return fit_network(model, few_digits(batch_size=32), config, out, progress=False)


@pytest.mark.parametrize(
    ("momentum", "loaded", "accumulate"), [(0.1, False, 1), (0.03, False, 2), (0.3, True, 1), (1.0, False, 1)]
)
def test_the_first_batches_have_equal_weights(momentum, loaded, accumulate, tmp_path):
    torch.manual_seed(0)
    model = OneNorm(momentum)
    if loaded:
        model.norm.running_mean.fill_(5)
    expected = model.norm.running_mean.double().clone()
    train(tmp_path / "run", model, epochs=2, ema=None, accumulate=accumulate, keep="last")
    assert len(model.means) == 12 * accumulate
    for n, mean in enumerate(model.means, 1):
        factor = momentum if loaded else max(momentum, 1 / n)
        expected = (1 - factor) * expected + factor * mean
    torch.testing.assert_close(model.norm.running_mean.double(), expected, atol=1e-5, rtol=1e-4)
    assert model.norm.momentum == momentum


@pytest.mark.parametrize("seed", range(2))
def test_a_run_of_few_steps_is_evaluated_with_statistics_of_its_images(seed, tmp_path):
    """Before, the validation loss of such runs was in the hundreds or thousands while that of training fell."""
    options = {
        "model": "pvig_micro",
        "options": {"patch_size": 4, "depths": (1, 1, 1, 1), "channels": (16, 24, 32, 48)},
    }
    recipe = load_config(
        "digits", ("test", {"epochs": 1, "batch_size": 32, "seed": seed, "in_channels": 1, "lr": 2e-3})
    )
    data = few_digits(batch_size=32, image_size=32)
    kept = fit(data, tmp_path / "run", recipe=recipe, progress=False, **options)
    assert kept["val_loss"] < 2 * kept["train_loss"] < 10


def test_the_momentum_is_restored_after_an_error(tmp_path):
    model = OneNorm(0.1)
    with pytest.raises(ValueError, match="The loss is nan"):
        model.fc.weight.data.fill_(torch.nan)
        train(tmp_path / "run", model)
    assert model.norm.momentum == 0.1


def test_a_resumed_run_has_the_same_statistics(tmp_path):
    """A run that stops within the first ten batches; its checkpoint has the names and the number of batches."""
    whole = run(tmp_path / "whole", epochs=2, ema=None)
    from vig_pyg.engine import TrainingInterrupted
    from vig_pyg.engine.training import CheckpointCallback

    original, count = CheckpointCallback.on_train_batch_end, []

    def stop(self, trainer, *rest):
        count.append(1)
        if len(count) == 4:
            self.stop.signum = 15
        original(self, trainer, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CheckpointCallback, "on_train_batch_end", stop)
        with pytest.raises(TrainingInterrupted):
            run(tmp_path / "parts", epochs=2, ema=None)
    assert run(tmp_path / "parts", epochs=2, ema=None, resume=True) == whole
    states = [torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "parts")]
    first, second = (next(v for k, v in s["callbacks"].items() if k.startswith("FirstStatistics")) for s in states)
    assert first == second and first["batches"] == 12 and len(first["norms"]) > 5
    assert all(torch.equal(states[0]["state_dict"][k], v) for k, v in states[1]["state_dict"].items())


@pytest.mark.parametrize(
    ("norm", "fresh"),
    [
        (nn.BatchNorm2d(3), True),
        (nn.BatchNorm1d(3, affine=False), True),
        (nn.BatchNorm1d(3, track_running_stats=False), False),
        (nn.BatchNorm1d(3, momentum=None), False),
        (nn.LayerNorm(3), False),
    ],
)
def test_only_new_batch_norms_are_changed(norm, fresh):
    assert is_untouched(norm) is fresh
    if fresh:
        for name, value in (("running_mean", 0.5), ("running_var", 2.0), ("num_batches_tracked", 1)):
            part = getattr(norm, name)
            before = part.clone()
            part.fill_(value)
            assert not is_untouched(norm)
            part.copy_(before)


def test_its_state_is_saved_and_loaded():
    one, other = FirstStatistics(), FirstStatistics()
    one.batches, one.names = 4, ["a"]
    other.load_state_dict(one.state_dict())
    assert (other.batches, other.names) == (4, ["a"])
