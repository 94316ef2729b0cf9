import pytest

from tests.cli.common import QUICK, fails
from tests.pictures import make_folder
from vig_pyg.cli import main


def test_a_second_run_takes_the_next_name(tmp_path, monkeypatch, capsys):
    pictures = make_folder(tmp_path / "pictures")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["train", "--data", str(pictures), *QUICK]) == 0
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["pictures", "pictures-2"]
    assert "runs/pictures-2/model.safetensors" in capsys.readouterr().out


def test_mistakes_are_one_clear_line_and_leave_nothing(tmp_path, capsys):
    pictures, out = make_folder(tmp_path / "pictures"), tmp_path / "run"
    train = ["train", "--out", out, *QUICK, "--data"]
    assert "does not exist" in fails(capsys, *train, tmp_path / "nowhere")
    assert "it does not exist" in fails(capsys, *train, pictures / "train")
    assert "Unknown conv 'gcn': choose one of mr" in fails(capsys, *train, pictures, "--conv", "gcn")
    assert "Unknown model 'vig_huge'" in fails(capsys, *train, pictures, "--model", "vig_huge")
    assert "k must be at least 1" in fails(capsys, *train, pictures, "--k", "0")
    assert "power of two" in fails(capsys, *train, pictures, "--patch-size", "3")
    (pictures / "val" / "red" / "1.png").write_bytes(b"")
    assert "red/1.png" in fails(capsys, *train, pictures)
    assert not out.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["pictures"]
    assert main([str(a) for a in [*train, pictures, "--on-broken", "skip"]]) == 0
    capsys.readouterr()
    before = (out / "model.safetensors").read_bytes()
    assert "not overwritten" in fails(capsys, *train, pictures, "--on-broken", "skip")
    assert (out / "model.safetensors").read_bytes() == before


def test_ctrl_c_is_said_and_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("vig_pyg.train.classifier.Classifier.training_step", interrupt)
    pictures = make_folder(tmp_path / "pictures")
    assert main(["train", "--data", str(pictures), "--out", str(tmp_path / "run"), *QUICK]) == 130
    assert "stopped; nothing was written" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.slow
def test_the_default_run_reaches_the_promised_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--quiet"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("Held-out accuracy"))
    assert float(line.split()[2]) >= 97.5
