import json

import pytest
import torch

from vig_pyg import vig_micro
from vig_pyg.train import Preprocessing, load_run, new_run_folder
from vig_pyg.train.run_folder import CONFIG, WEIGHTS, free_name, save_run


def saved(folder, **options):
    torch.manual_seed(0)
    model = vig_micro(num_classes=2, **options)
    folder.mkdir()
    about = {"class_names": ["cat", "dog"], "preprocessing": Preprocessing(image_size=32)}
    save_run(folder, model, name="vig_micro", overrides={"num_classes": 2, **options}, data=about)
    return model.eval()


def test_a_run_comes_back_as_it_was(tmp_path):
    model = saved(tmp_path / "run", conv="gin", k=[3, 5])
    run = load_run(tmp_path / "run")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(run.model(images), model(images))
    assert run.class_names == ["cat", "dog"]
    assert run.preprocessing == Preprocessing(image_size=32)
    assert not run.model.training


def test_a_folder_takes_its_name_when_all_is_written(tmp_path):
    with new_run_folder(tmp_path / "deep" / "run") as folder:
        (folder / "file").write_text("done")
        assert not (tmp_path / "deep" / "run").exists()
    assert (tmp_path / "deep" / "run" / "file").read_text() == "done"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["run"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(tmp_path, error):
    with pytest.raises(error), new_run_folder(tmp_path / "run") as folder:
        (folder / "file").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_never_overwritten(tmp_path):
    saved(tmp_path / "run")
    with pytest.raises(FileExistsError, match="not overwritten"), new_run_folder(tmp_path / "run"):
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
