import random
import shlex
from types import SimpleNamespace

import pytest

from vig_pyg.cli._train_flags import TrainFlags, length_of, note_on_steps, print_scores, say_complete
from vig_pyg.engine import TrainConfig
from vig_pyg.engine.sampler import TrainBatches


@pytest.mark.parametrize("images", [1, 2, 5, 99, 100, 5000])
def test_few_validation_images_are_mentioned_beside_the_scores(images, tmp_path, capsys):
    (tmp_path / "metrics.csv").touch()
    row = {"epoch": 3.0, "train_loss": 1.0, "val_AP": 0.25, "val_AP50 cat": -1.0, "lr": 0.1}
    print_scores(row, SimpleNamespace(val_set=range(images)), tmp_path)
    lines = capsys.readouterr().out.splitlines()
    few = [f"(only {images} validation image{'s' * (images > 1)})"] if images < 100 else []
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
    say_complete(out, TrainConfig(epochs=epochs + 1, patience=1), "train")
    said = capsys.readouterr().out
    assert "To continue from its weights, start a new run:" in said and f"--weights '{out}/model.safetensors'" in said
    assert "starts again at --lr 0.003 and goes through the whole schedule; with --lr 0.0003, " in said
    (out / "model.safetensors").unlink()
    say_complete(out, TrainConfig(epochs=epochs), "train")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("command", ["train", "detect train", "segment train"])
@pytest.mark.parametrize("finished", [False, True])
def test_more_epochs_for_a_run_to_resume_name_the_command_that_trains_longer(tmp_path, command, finished):
    run = tmp_path / "my run"
    run.mkdir()
    (run / "config.yaml").write_text("epochs: 10\n")
    if finished:
        (run / "model.safetensors").touch()
    for values in ({"epochs": 30}, {"epochs": 30, "lr": 0.1}, {"lr": 0.1}):
        flags = TrainFlags(values=values, resume=run, command=command)
        with pytest.raises(ValueError, match=f"leave out --{next(iter(values))}") as error:
            flags.resumed_values("config.yaml")
        told, found, again = str(error.value).partition("start a new run: ")
        assert bool(found) == ("epochs" in values)
        if found:
            start = ["--weights", f"{run}/model.safetensors"] if finished and command == "train" else []
            assert ("from its weights" in told) == bool(start) and ("from the beginning" in told) != bool(start)
            assert shlex.split(again) == ["vig-pyg", *command.split(), "--config", f"{run}/config.yaml", *start,
                                          "--epochs", "30", "--out", "NEW"]  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_few_steps_are_noted(seed, capsys):
    draw = random.Random(seed)
    batch, epochs = draw.choice([2, 4, 16, 64, 256]), draw.choice([1, 3, 12, 40, 200])
    images = draw.randint(batch, 12 * batch)
    steps = TrainBatches(images, batch_size=batch, seed=0).steps
    note_on_steps(SimpleNamespace(train_set=range(images), batch_size=batch, steps_per_epoch=steps), epochs)
    out, said = capsys.readouterr()
    assert bool(said) == (steps < 8 and steps * epochs < 100 and (steps == 1 or batch > 2)) and out == ""
    plural = "s" * (steps > 1)
    assert not said or said.startswith(f"vig-pyg: note: an epoch has only {steps} training step{plural}, because ")
    assert said.count("\n") == bool(said) and ("try" in said) == (bool(said) and batch > 2)  # no smaller batch size
    if "try" in said:
        better = int(said.rpartition(" ")[2])
        assert better < batch and TrainBatches(images, batch_size=better, seed=0).steps > steps


@pytest.mark.parametrize(
    ("asked", "epochs", "told"),
    [
        (None, 30, "30 epochs of 46 steps"),
        (20, 1, "1 epoch of 46 steps (whole epochs with at least 20 steps)"),
        (92, 2, "2 epochs of 46 steps"),
    ],
)
def test_the_length_of_a_run_is_told_in_epochs_and_steps(asked, epochs, told):
    assert length_of(SimpleNamespace(steps=asked, epochs=epochs), SimpleNamespace(steps_per_epoch=46)) == told
    assert length_of(SimpleNamespace(epochs=1), SimpleNamespace(steps_per_epoch=1)) == "1 epoch of 1 step"
