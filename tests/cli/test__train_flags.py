import random
import shlex
from types import SimpleNamespace

import pytest

from vig_pyg.cli._train_flags import print_scores, say_complete
from vig_pyg.engine import TrainConfig


@pytest.mark.parametrize("images", [1, 2, 5, 99, 100, 5000])
def test_few_validation_images_are_mentioned_beside_the_scores(images, tmp_path, capsys):
    (tmp_path / "metrics.csv").touch()
    row = {"epoch": 3.0, "train_loss": 1.0, "val_AP": 0.25, "val_AP50 cat": -1.0, "lr": 0.1}
    print_scores(row, SimpleNamespace(val_set=range(images)), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    few = [f"(coarse: {images} validation image{'s' * (images > 1)})"] if images < 100 else []
    assert lines == ["", "AP                25.0 %", "AP50 cat  no such object", *few, f"  {tmp_path}/metrics.csv"]


@pytest.mark.parametrize("seed", range(5))
def test_only_a_complete_run_says_that_it_is(seed, tmp_path, capsys):
    draw = random.Random(seed)
    out = tmp_path / "my run"
    out.mkdir()
    epochs = draw.randint(2, 30)
    for name in ("last.ckpt", "model.safetensors"):
        (out / name).touch()
    (out / "metrics.csv").write_text("epoch,lr\n" + "".join(f"{i + 1},0.1\n" for i in range(epochs)))
    for planned in (epochs, epochs - 1, epochs + 1):
        say_complete(out, TrainConfig(epochs=planned), "segment train", steps="MORE")
        said = capsys.readouterr().out
        if planned > epochs:
            assert said == ""
            continue
        assert said.startswith(
            f"The run is complete ({epochs} epochs), so nothing is trained. To train longer, from the beginning, start"
        )
        words = shlex.split(said.partition("start a new run: ")[2])
        assert words == ["vig-pyg", "segment", "train", "--config", f"{out}/config.yaml", "--steps", "MORE",
                         "--out", "NEW"]  # fmt: skip
    say_complete(out, TrainConfig(epochs=epochs + 1, patience=1), "train", weights=out / "model.safetensors")
    assert "To train on from its weights, start a new run:" in capsys.readouterr().out
    (out / "model.safetensors").unlink()
    say_complete(out, TrainConfig(epochs=epochs), "train", weights=out / "model.safetensors")
    assert capsys.readouterr().out == ""
