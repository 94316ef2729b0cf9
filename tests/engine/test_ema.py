import pytest
import torch

from tests.classification.job import run
from vig_pyg.engine.ema import EMA

pytestmark = pytest.mark.usefixtures("blank_pictures")


def state(out, name="average"):
    checkpoint = torch.load(out / "last.ckpt", weights_only=True)
    if name == "current":
        return {k.removeprefix("model."): v for k, v in checkpoint["state_dict"].items() if k.startswith("model.")}
    return next(v["average"] for k, v in checkpoint["callbacks"].items() if k.startswith("EMA"))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_average_is_what_its_formula_says(tmp_path, monkeypatch, accumulate):
    seen, update = [], EMA.on_train_batch_end

    def watch(self, trainer, module, *rest):
        if trainer.global_step > self.steps:
            seen.append({k: v.clone() for k, v in module.model.state_dict().items()})
        update(self, trainer, module, *rest)

    monkeypatch.setattr(EMA, "on_train_batch_end", watch)
    run(tmp_path / "run", epochs=1, ema=0.9, accumulate=accumulate)
    assert len(seen) == 6
    average = state(tmp_path / "run")
    assert average.keys() == seen[0].keys() and len(average) > 20
    moved = 0
    for key, got in average.items():
        expected = seen[0][key]
        for new in seen[1:]:
            expected = 0.9 * expected + 0.1 * new[key] if got.is_floating_point() else new[key]
        torch.testing.assert_close(got, expected)
        moved += not torch.allclose(got, seen[-1][key])
    assert moved > len(average) / 2  # what is averaged is not what was seen last


def test_the_average_is_scored_and_kept(tmp_path):
    from vig_pyg import load as load_run

    run(tmp_path / "run", epochs=1, ema=0.9)
    average, current = state(tmp_path / "run"), state(tmp_path / "run", "current")
    kept = load_run(tmp_path / "run").model.state_dict()
    assert all(torch.equal(kept[key], average[key]) for key in kept)
    assert not torch.equal(kept["head.fc2.weight"], current["head.fc2.weight"])
