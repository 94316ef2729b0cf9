import argparse
import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.cli.common import QUICK, check_presets_in_help, fails
from tests.images import make_folder
from tests.weights.common import closed_address, make_entry
from vig_pyg import weights
from vig_pyg.classification import ClassificationConfig
from vig_pyg.classification.module import Classifier
from vig_pyg.classification.presets import PRESETS
from vig_pyg.cli import main
from vig_pyg.cli._options import import_own_code
from vig_pyg.cli._train_flags import network_options
from vig_pyg.cli.train import make_parser
from vig_pyg.graph import GRAPHS

pytestmark = pytest.mark.usefixtures("blank_pictures")

LONGER = [*QUICK, "--epochs", "2"]


def test_a_second_run_takes_the_next_name(tmp_path, monkeypatch, capsys):
    pictures = make_folder(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "--data", str(pictures), *QUICK]) == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["images", "images-2"]
    assert "runs/images-2/model.safetensors" in capsys.readouterr().out


def test_mistakes_are_one_clear_line_and_leave_nothing(tmp_path, capsys):
    pictures, out = make_folder(tmp_path / "images"), tmp_path / "run"
    train = ["train", "--out", out, *QUICK, "--data"]
    assert "does not exist" in fails(capsys, *train, tmp_path / "nowhere")
    assert "does not exist" in fails(capsys, *train, pictures / "train" / "none")
    assert "Unknown conv 'gcn'. Did you mean 'gin'? Choose one of mr" in fails(
        capsys, *train, pictures, "--conv", "gcn"
    )
    assert "Unknown model 'vig_huge'" in fails(capsys, *train, pictures, "--model", "vig_huge")
    assert "k must be at least 1" in fails(capsys, *train, pictures, "--k", "0")
    assert "power of two" in fails(capsys, *train, pictures, "--patch-size", "3")
    (pictures / "val" / "red" / "1.png").write_bytes(b"")
    assert "red/1.png" in fails(capsys, *train, pictures)
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["images"]
    assert main([str(a) for a in [*train, pictures, "--on-bad", "drop"]]) == 0
    assert "1 image is left out, because of `on_bad: drop`:" in (out / "README.md").read_text()
    rows = list(csv.reader((out / "left_out.csv").read_text().splitlines()))
    assert rows == [["image", "reason"], [str(pictures / "val" / "red" / "1.png"), "the file is empty"]]
    assert re.search(r"^Validation accuracy: [\d.]+ % \(only \d+ validation images, each counts [\d.]+ %\)$",
                     capsys.readouterr().out, re.MULTILINE)  # fmt: skip
    before = (out / "model.safetensors").read_bytes()
    assert "not overwritten" in fails(capsys, *train, pictures, "--on-bad", "drop")
    assert (out / "model.safetensors").read_bytes() == before


def test_ctrl_c_is_said_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.classification.module.Classifier.training_step", interrupt)
    pictures = make_folder(tmp_path / "images")
    assert main(["train", "--data", str(pictures), "--out", str(tmp_path / "run"), *QUICK]) == 130
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


@pytest.mark.slow
def test_the_default_run_reaches_the_promised_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--quiet"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Validation accuracy"))
    assert float(line.split()[2]) >= 97.5


@pytest.fixture
def pictures(tmp_path):
    return make_folder(tmp_path / "images")


def printed(capsys, *argv):
    assert main(["train", *map(str, argv), "--print-config"]) == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_the_preset_goes_by_what_is_given(capsys, tmp_path):
    assert printed(capsys)["data"] == "digits"
    assert printed(capsys, "--data", "digits")["model"] == "vig_micro"
    assert printed(capsys, "--data", "x")["lr"] == 2e-3
    assert printed(capsys, "--data", "x", "--weights", "w.pth")["lr"] == 2e-4
    assert printed(capsys, "--preset", "imagenet", "--data", "x")["epochs"] == 300
    (tmp_path / "a.yaml").write_text("data: x\nweights: w.pth\n")
    assert printed(capsys, "--config", tmp_path / "a.yaml")["layer_decay"] < 1


def test_flags_are_over_the_file(capsys, tmp_path):
    (tmp_path / "a.yaml").write_text("lr: 0.5\nepochs: 7\nseed: 3\noptions: {k: 5}\n")
    found = printed(capsys, "--config", tmp_path / "a.yaml", "--lr", "0.25", "--epochs", 8, "--conv", "gin",
                    "--mixup=0.5", "--options.depth", "2", "--augmentation.flip=0")  # fmt: skip
    assert (found["lr"], found["epochs"], found["seed"], found["mixup"]) == (0.25, 8, 3, 0.5)
    assert (found["augmentation"]["flip"], found["augmentation"]["crop"]) == (0, None)
    assert found["options"] == {"k": 5, "conv": "gin", "depth": 2}


def test_a_graph_for_each_stage_is_a_list(capsys, tmp_path):
    graphs = ["axial", "axial", "window", "knn"]
    given = "--model", "pvig_micro", "--graph"
    found = printed(capsys, *given, "[axial, axial, window, knn]")
    assert found["options"]["graph"] == graphs
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(found))
    assert printed(capsys, "--config", tmp_path / "a.yaml") == found
    assert printed(capsys, *given, "axial")["options"]["graph"] == "axial"
    run = "train", "--out", tmp_path / "run", *QUICK[2:], *given
    assert "graph has 2 entries, ('axial', 'knn'), but the model has 4 stages" in fails(capsys, *run, "[axial, knn]")
    assert "Unknown graph 'axia'" in fails(capsys, *run, "[axial, axia, knn, knn]")
    assert "graph must be a name or a callable" in fails(capsys, *run, "[axial, 3, knn, knn]")
    assert not (tmp_path / "run").exists()


def test_several_graphs_of_one_s_own_are_imported(monkeypatch, tmp_path):
    text = "from vig_pyg.graph import GridGraph\ndef One(k, d): return GridGraph()\ndef Two(k, d): return GridGraph()\n"
    (tmp_path / "stage_graphs_of_mine.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = [f"stage_graphs_of_mine:{name}" for name in ("One", "Two")]
    try:
        import_own_code(argparse.Namespace(conv=None, graph=f"[{', '.join(names)}]"))
        assert set(names) <= set(GRAPHS)
    finally:
        for name in names:
            GRAPHS.remove(name)


def test_what_is_printed_can_be_fed_back(capsys, tmp_path):
    first = printed(capsys, "--preset", "imagenet", "--model", "pvig_base")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(first))
    assert printed(capsys, "--config", tmp_path / "a.yaml") == first
    assert first["drop_path_rate"] == 0.3


def test_unknown_keys_are_told_with_the_nearest(capsys, tmp_path):
    assert "Unknown flag '--learning-rate'" in fails(capsys, "train", "--learning-rate", "1")
    told = fails(capsys, "train", "--augmentation.flop=1")
    assert "Unknown flag '--augmentation.flop' (did you mean '--augmentation.flip'?)" in told
    (tmp_path / "a.yaml").write_text("epoch: 3\n")
    told = fails(capsys, "train", "--config", tmp_path / "a.yaml")
    assert f"{tmp_path / 'a.yaml'}: unknown entry 'epoch' (did you mean 'epochs'?)" in told


def test_sigterm_has_its_code_and_the_run_goes_on(tmp_path, pictures, capsys, monkeypatch):
    original, calls = Classifier.training_step, []

    def signalled(*args):
        calls.append(1)
        if len(calls) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*args)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "training_step", signalled)
        assert main(["train", "--data", str(pictures), "--out", str(out), *LONGER]) == 143
    assert f"resume with: vig-pyg train --resume {out}" in capsys.readouterr().err
    assert main(["predict", str(out), str(pictures / "val" / "red" / "0.png")]) == 2
    assert "not complete" in capsys.readouterr().err
    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "Resuming" in said and "complete" not in said
    assert main(["train", "--data", str(pictures), "--out", str(tmp_path / "whole"), *LONGER]) == 0
    for name in ("metrics.csv", "model.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resume_takes_no_other_values(tmp_path, capsys):
    assert main(["train", "--resume", str(tmp_path), "--lr", "1"]) == 2
    assert "leave out" in capsys.readouterr().err
    (tmp_path / "a.txt").touch()
    for path, told in (("", ": the folder has no config.yaml."), ("a.txt", ": it is a file.\n"), ("no", ".\n")):
        assert main(["train", "--resume", str(tmp_path / path)]) == 2
        assert f"no run to resume at {tmp_path / path}{told}" in capsys.readouterr().err


def test_sigterm_of_a_process(tmp_path, pictures):
    """The code that a scheduler sees."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "vig_pyg.cli", "train", "--data", pictures, "--out", out, *LONGER]
    process = subprocess.Popen([*map(str, command), "--epochs", "500"], stderr=subprocess.PIPE)
    while not (out / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 143, err
    assert b"resume with: vig-pyg train --resume" in err


def test_a_variable_that_is_left_over_overwrites_no_run(tmp_path, pictures, capsys, monkeypatch):
    out = tmp_path / "run"
    out.mkdir()
    (out / "model.safetensors").write_text("finished")
    for name, value in (("RANK", "1"), ("LOCAL_RANK", "3"), ("SLURM_PROCID", "2"), ("WORLD_SIZE", "2"), ("RANK", "x")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert f"{name}={value} is" in fails(capsys, "train", "--data", pictures, "--out", out, *QUICK)
    assert "not overwritten" in fails(capsys, "train", "--data", pictures, "--out", out, *QUICK)
    assert [(p.name, p.read_text()) for p in out.iterdir()] == [("model.safetensors", "finished")]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_the_first_step_is_said_and_leaves_nothing(tmp_path, pictures, capsys, monkeypatch, signum):
    monkeypatch.setattr("vig_pyg.classification.load_data", lambda *_, **__: os.kill(os.getpid(), signum))
    command = ["train", "--data", str(pictures), "--out", str(tmp_path / "deep" / "run"), *QUICK]
    assert main(command) == 128 + signum
    assert capsys.readouterr().err == "vig-pyg: stopped; nothing was written\n"
    assert [p.name for p in tmp_path.iterdir()] == ["images"]


@pytest.mark.parametrize("model", ["vig_micro", "pvig_medium", "pvig_micro"])
def test_another_model_keeps_its_own_widths(capsys, model):
    found = printed(capsys, "--data", "x", "--model", model, "--k", "5")
    own = {"channels": [48, 96, 160, 256], "depths": [2, 2, 4, 2]} if model == "pvig_micro" else {}
    assert found["options"] == {"patch_size": 4, **own, "k": 5}


def test_a_strangers_run_fetches_nothing(tmp_path, capsys, monkeypatch):
    def fetch(*_, **__):
        raise AssertionError("something is fetched")

    monkeypatch.setattr("socket.socket.connect", fetch)
    run = tmp_path / "run"
    run.mkdir()
    base = yaml.safe_dump(printed(capsys, "--data", "x"))
    for change, said in (
        ({"weights": "https://example.invalid/w.pth"}, "starts from weights at https"),
        ({"data": "cifar10", "root": str(tmp_path)}, "names cifar10, which is not in"),
        ({"data": "cifar100", "root": str(tmp_path)}, "names cifar100, which is not in"),
        (
            {"options": {"weights": "https://example.invalid/w.pth"}, "data": "digits", "in_channels": 1},
            "no option 'weights'",
        ),
    ):
        (run / "config.yaml").write_text(yaml.safe_dump(yaml.safe_load(base) | change))
        assert said in fails(capsys, "train", "--resume", run)
    assert [p.name for p in run.iterdir()] == ["config.yaml"]


def test_a_resumed_run_imports_no_code_that_the_user_did_not_name(tmp_path, capsys, monkeypatch):
    """A stranger's config.yaml with import paths, nested in any way: nothing is imported before the flag names it."""
    run, seen = tmp_path / "run", tmp_path / "imported"
    run.mkdir()
    (tmp_path / "evil_ops.py").write_text(
        f"import pathlib\npathlib.Path({str(seen)!r}).touch()\nMyConv = Ring = None\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    base = printed(capsys)
    for options in (
        {"conv": "evil_ops:MyConv"},
        {"graph": "evil_ops:Ring"},
        {"graph": ["axial", "evil_ops:Ring", "knn", "knn"]},
        {"conv": {"class_path": "evil_ops.MyConv"}},
        {"head": {"class_path": "evil_ops.MyConv", "init_args": {}}},
    ):
        (run / "config.yaml").write_text(yaml.safe_dump({**base, "options": options}))
        told = fails(capsys, "train", "--resume", run)
        if isinstance(value := next(iter(options.values())), str):
            assert f"config.yaml names the code {value}: pass --{next(iter(options))} {value} too" in told
        assert not seen.exists()
    (run / "config.yaml").write_text(yaml.safe_dump({**base, "options": {"conv": "evil_ops:MyConv"}}))
    assert "has another --conv" in fails(capsys, "train", "--resume", run, "--conv", "gin")
    assert "must be callable, got None" in fails(capsys, "train", "--resume", run, "--conv", "evil_ops:MyConv")
    assert seen.exists()


def test_values_that_change_no_result_may_differ_when_a_run_is_resumed(tmp_path, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(printed(capsys)))
    free = ["--resume", run, "--num-workers", "1", "--evaluate-every", "2"]
    found = printed(capsys, *free)
    assert (found["num_workers"], found["evaluate_every"], found["epochs"]) == (1, 2, 20)
    for flag, value in (("--epochs", 3), ("--seed", 1), ("--augmentation.flip", 0), ("--k", 5), ("--options.depth", 2)):
        named = "--augmentation" if "augmentation" in flag else flag
        assert f"leave out {named}." in fails(capsys, "train", *free, flag, value)


def test_help_needs_no_training_to_be_imported():
    code = "import sys; from vig_pyg.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('jsonargparse', 'lightning', 'timm') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")


@pytest.mark.parametrize(
    ("flag", "name", "meant"),
    [("model", "pvig_medum", "pvig_medium"), ("conv", "egde", "edge"), ("graph", "kn", "knn")],
)
def test_a_wrong_name_is_told_before_images_are_read(tmp_path, monkeypatch, capsys, flag, name, meant):
    monkeypatch.chdir(tmp_path)
    assert main(["train", f"--{flag}", name]) == 2
    said = capsys.readouterr()
    assert said.out == "" and f"Did you mean {meant!r}?" in said.err
    assert not list(tmp_path.iterdir())


def test_a_finished_run_does_not_repeat_what_is_wrong_with_its_images(tmp_path, caplog):
    pictures = make_folder(tmp_path / "images")
    (pictures / "train" / "red" / "broken.png").write_text("text")
    run = tmp_path / "run"
    assert main(["train", "--data", str(pictures), "--out", str(run), "--on-bad", "drop", *QUICK]) == 0
    assert "broken.png" in caplog.text
    caplog.clear()
    shutil.rmtree(pictures)  # it is not needed
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert not caplog.records


def test_a_run_whose_last_files_are_missing_is_not_finished(trained, tmp_path, capsys):
    shutil.copytree(trained[0], run := tmp_path / "run")
    for name in ("README.md", "curves.png"):
        (run / name).unlink()
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    assert (
        "complete" not in capsys.readouterr().out and (run / "README.md").is_file() and (run / "curves.png").is_file()
    )


def test_a_finished_run_says_so_and_its_command_trains_on_from_its_weights(trained, tmp_path, capsys):
    run, new = tmp_path / "my run", tmp_path / "new"
    shutil.copytree(trained[0], run)
    before = (run / "model.safetensors").read_bytes()
    assert main(["train", "--resume", str(run), "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "The run is complete (1 epoch), so nothing is trained. To continue from its weights, start a new" in said
    assert (run / "model.safetensors").read_bytes() == before
    assert main(["train", "--resume", str(run)]) == 0
    shown, err = capsys.readouterr()
    assert (shown, err) == (said, "") and [line.partition(" ")[0] for line in shown.splitlines()] == ["The", "The"]
    line = next(line for line in said.splitlines() if line.startswith("The run is complete"))
    words = shlex.split(line.partition("start a new run: ")[2])
    assert words[0] == "vig-pyg" and words[-2:] == ["--out", "NEW"]
    assert main([*words[1:-1], str(new), "--epochs", "2", "--lr", "1e-12", "--quiet"]) == 0
    old, trained_on = (load_file(folder / "model.safetensors") for folder in (run, new))
    for name in ("head.fc2.weight", "head.fc1.weight", "stem.0.weight"):  # the rate is too small to change them
        assert torch.allclose(old[name], trained_on[name], atol=1e-6)


def test_every_option_of_a_network_is_suggested_for_a_flag_without_options():
    parser = make_parser()
    flags = {name for action in parser._actions for name in action.option_strings}
    names = sorted(name for name in network_options() if f"--{name}" not in flags)
    assert "dilation" in names and len(names) > 10
    for name in names:
        dashed = name.replace("_", "-")
        for flag in (f"--{name}", f"--{dashed}"):
            with pytest.raises(ValueError, match=rf"Unknown flag '--{dashed}' \(did you mean '--options\.{dashed}'\?"):
                parser.parse_flags([flag, "2"])


def test_the_option_for_an_unknown_flag_is_suggested_by_the_command(capsys):
    assert "Unknown flag '--dilation' (did you mean '--options.dilation'?)" in fails(capsys, "train", "--dilation", "2")


def test_help_shows_the_values_of_the_presets():
    parser = make_parser()
    assert set(check_presets_in_help(parser, ClassificationConfig(), PRESETS)) == parser.checks.keys()


def test_weights_by_name_without_network_say_what_to_do(tmp_path, capsys, monkeypatch, pictures):
    entry = make_entry(f"{closed_address()}/pvig_mi_1.0.pth.tar", b"", model="pvig_micro")
    monkeypatch.setitem(weights.TABLE, entry.name, entry)
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path / "home"))
    small = ["--model", "pvig_micro", "--weights", "pvig_micro", "--out", tmp_path / "run"]
    told = fails(capsys, "train", "--data", pictures, *small, *QUICK)
    assert f"Cannot download {entry.url} (Connection refused). Get the file elsewhere" in told
    assert f"put it at {tmp_path / 'home' / 'checkpoints' / 'pvig_mi_1.0.pth.tar'}: then it works offline. Or " in told
    assert told.endswith("Or keep it elsewhere, and pass its path as the weights.\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "ablate"])
@pytest.mark.parametrize("here", [True, False])
def test_a_folder_with_the_name_of_built_in_data_is_noted_once(tmp_path, monkeypatch, capsys, command, here):
    monkeypatch.chdir(tmp_path)
    if here:
        (tmp_path / "digits").mkdir()
    assert main([command, "--data", "digits", "--patch-size", "3"]) == 2
    said = capsys.readouterr().err
    note = "vig-pyg: note: digits is the built-in data; the folder digits here is ./digits\n"
    assert said.count(note) == here and "power of two" in said


def test_a_folder_without_weights_is_refused_before_the_training(tmp_path, monkeypatch, capsys):
    pictures = make_folder(tmp_path / "images")
    (tmp_path / "no weights").mkdir()
    for command in (["train"], ["ablate", "--conv", "mr", "edge"]):
        assert main([*command, "--data", str(pictures), "--weights", str(tmp_path / "no weights"), *QUICK]) == 2
        said = capsys.readouterr()
        assert said.out == "" and "is a folder, expected a weight file, or a folder with model.safetensors" in said.err


@pytest.mark.parametrize("named", [[], ["--conv", "my_ops:MyConv"]])
def test_a_run_of_python_with_own_code_is_continued_there(trained, tmp_path, capsys, named):
    shutil.copytree(trained[0], run := tmp_path / "run")
    (run / "model.safetensors").unlink()
    text = (run / "config.json").read_text().replace('"conv": "mr"', '"conv": "my_ops:MyConv"')
    (run / "config.json").write_text(text)
    said = fails(capsys, "train", "--resume", run, *named)
    assert f"{run} was started in Python, with conv=my_ops:MyConv, which its values do not name: continue it th" in said
    assert (run / "config.json").read_text() == text
