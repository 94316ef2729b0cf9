import json

import pytest
import torch

from vig_pyg import vig_micro
from vig_pyg.train import Preprocessing, load_run
from vig_pyg.train.run_folder import CONFIG, WEIGHTS, free_name, open_run_folder, save_config, save_weights


def saved(folder, **options):
    torch.manual_seed(0)
    model = vig_micro(num_classes=2, **options)
    folder.mkdir()
    about = {"class_names": ["cat", "dog"], "preprocessing": Preprocessing(image_size=32)}
    save_config(folder, name="vig_micro", overrides={"num_classes": 2, **options}, data=about)
    save_weights(folder, model.state_dict())
    return model.eval()


def test_a_run_comes_back_as_it_was(tmp_path):
    model = saved(tmp_path / "run", conv="gin", k=[3, 5])
    run = load_run(tmp_path / "run")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(run.model(images), model(images))
    assert run.class_names == ["cat", "dog"]
    assert run.preprocessing == Preprocessing(image_size=32)
    assert not run.model.training


def test_what_is_written_stays(tmp_path):
    with open_run_folder(tmp_path / "deep" / "run") as folder:
        (folder / "file").write_text("done")
    assert (tmp_path / "deep" / "run" / "file").read_text() == "done"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_it_stays_if_it_can_be_resumed(tmp_path, error):
    with pytest.raises(error), open_run_folder(tmp_path / "run") as folder:
        (folder / "file").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(error), open_run_folder(tmp_path / "run") as folder:
        (folder / "last.ckpt").write_text("checkpoint")
        raise error
    with pytest.raises(error), open_run_folder(tmp_path / "run", resume=True) as folder:
        (folder / "last.ckpt").unlink()
        raise error
    assert (tmp_path / "run").is_dir()


def test_a_run_is_never_overwritten(tmp_path):
    saved(tmp_path / "run")
    with pytest.raises(FileExistsError, match=r"not overwritten.*--resume"), open_run_folder(tmp_path / "run"):
        pass
    with pytest.raises(FileNotFoundError, match="no run to resume"), open_run_folder(tmp_path / "no", resume=True):
        pass
    assert (tmp_path / "run" / CONFIG).is_file()
    assert free_name(tmp_path / "run") == tmp_path / "run-2"
    assert free_name(tmp_path / "other") == tmp_path / "other"


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        load_run(tmp_path)
    saved(tmp_path / "run")
    config = tmp_path / "run" / CONFIG
    good = json.loads(config.read_text())
    config.write_text("{")
    with pytest.raises(ValueError, match="is not the configuration"):
        load_run(tmp_path / "run")
    config.write_text(json.dumps(good | {"options": {"channels": 48, "num_classes": 2}}))
    with pytest.raises(ValueError, match="do not fit"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError, match=WEIGHTS):
        load_run(tmp_path / "run")
    (tmp_path / "run" / "last.ckpt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"not complete.*--resume"):
        load_run(tmp_path / "run")
