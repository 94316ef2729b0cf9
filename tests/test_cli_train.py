import os
import re
import signal
import subprocess
import sys
import time

import pytest
import yaml

from tests.pictures import make_folder
from vig_pyg.cli import main
from vig_pyg.train.classifier import Classifier

QUICK = ["--epochs", "2", "--batch-size", "4", "--image-size", "32", "--workers", "0", "--quiet"]


@pytest.fixture
def pictures(tmp_path):
    return make_folder(tmp_path / "pictures")


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


def test_flags_are_over_the_file_and_set_over_all(capsys, tmp_path):
    (tmp_path / "a.yaml").write_text("lr: 0.5\nepochs: 7\nseed: 3\noptions: {k: 5}\n")
    found = printed(capsys, "--config", tmp_path / "a.yaml", "--lr", "0.25", "--epochs", 8, "--conv", "gin",
                    "--set", "epochs=9", "mixup=0.5", "--set", "options.depth=2")  # fmt: skip
    assert (found["lr"], found["epochs"], found["seed"], found["mixup"]) == (0.25, 9, 3, 0.5)
    assert found["options"] == {"k": 5, "conv": "gin", "depth": 2}


def test_what_is_printed_can_be_fed_back(capsys, tmp_path):
    first = printed(capsys, "--preset", "imagenet", "--model", "pvig_base")
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(first))
    assert printed(capsys, "--config", tmp_path / "a.yaml") == first
    assert first["drop_path_rate"] == 0.3


def test_unknown_keys_are_told_with_the_nearest(capsys, tmp_path):
    assert main(["train", "--set", "learning_rate=1", "mixupp=1"]) == 2
    assert "Unknown key 'learning_rate' in the command line" in capsys.readouterr().err
    (tmp_path / "a.yaml").write_text("epoch: 3\n")
    assert main(["train", "--config", str(tmp_path / "a.yaml")]) == 2
    assert re.search(r"Unknown key 'epoch' in .*a\.yaml: did you mean 'epochs'\?", capsys.readouterr().err)


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
        with pytest.raises(SystemExit) as stop:
            main(["train", "--data", str(pictures), "--out", str(out), *QUICK])
    assert stop.value.code == 143
    assert f"vig-pyg train --resume {out} goes on" in capsys.readouterr().err
    assert main(["predict", str(out), str(pictures / "val" / "red" / "0.png")]) == 2
    assert "not complete" in capsys.readouterr().err
    assert main(["train", "--resume", str(out), "--quiet"]) == 0
    assert "Resuming" in capsys.readouterr().out
    assert main(["train", "--data", str(pictures), "--out", str(tmp_path / "whole"), *QUICK]) == 0
    for name in ("metrics.csv", "model.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_resume_takes_no_other_values(tmp_path, capsys):
    assert main(["train", "--resume", str(tmp_path), "--lr", "1"]) == 2
    assert "leave out" in capsys.readouterr().err
    assert main(["train", "--resume", str(tmp_path)]) == 2
    assert "no run to resume" in capsys.readouterr().err


def test_sigterm_of_a_process(tmp_path, pictures):
    """The code that a scheduler sees."""
    out = tmp_path / "run"
    command = [sys.executable, "-m", "vig_pyg.cli", "train", "--data", pictures, "--out", out, *QUICK]
    process = subprocess.Popen([*map(str, command), "--set", "epochs=500"], stderr=subprocess.PIPE)
    while not (out / "last.ckpt").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert b"goes on" in err
