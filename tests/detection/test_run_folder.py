import json

import pytest
import torch

from vig_pyg.detection.load import load_detector
from vig_pyg.detection.loading import load_data
from vig_pyg.detection.run_folder import read_run, write_rows, write_run


def test_the_written_detector_finds_the_same_objects(trained):
    folder, _ = trained
    first, second = load_detector(folder), load_detector(folder)
    assert (first.class_names, first.category_ids) == (["blue", "red"], [3, 7])
    assert not first.model.training
    image = [torch.rand(3, 40, 50)]
    with torch.inference_mode():
        for a, b in zip(first.model(image), second.model(image), strict=True):
            assert all(torch.equal(a[key], b[key]) for key in a)


def test_what_is_no_run_folder_is_named(trained, tmp_path):
    with pytest.raises(FileNotFoundError, match="is not a run folder"):
        load_detector(tmp_path)
    config = tmp_path / "config.json"
    (tmp_path / "model.safetensors").write_bytes(b"")
    for content in ("{", '{"model": "vig_micro"}', '{"kind": "detector"}', "[1]"):
        config.write_text(content)
        with pytest.raises(ValueError, match=r"config\.json is not the configuration of a detector"):
            load_detector(tmp_path)
    folder, _ = trained
    entries = json.loads((folder / "config.json").read_text())
    config.write_text(json.dumps({**entries, "class_names": ["a"], "category_ids": [1]}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"config\.json is not .*: it has 1 class_names, and a detector of 2"):
        load_detector(tmp_path)
    entries["model"]["options"]["out_channels"] = 8
    config.write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit"):
        load_detector(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(ValueError, match=r"model\.safetensors does not fit"):
        load_detector(tmp_path)


def test_the_configuration_comes_back(trained, tmp_path):
    config, run = read_run(trained[0]), load_detector(trained[0])
    source = load_data(config).train_set.source
    write_run(tmp_path, config, run.model, source)
    assert read_run(tmp_path) == config
    assert (tmp_path / "config.json").read_bytes() == (trained[0] / "config.json").read_bytes()
    with pytest.raises(FileNotFoundError, match=r"is not a run folder: it has no config\.yaml"):
        read_run(tmp_path / "nowhere")


def test_rows_with_gaps(tmp_path):
    write_rows(tmp_path, [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0, "val_AP": 0.5}])
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["epoch,train_loss,val_AP", "1,2.0,", "2,1.0,0.5"]
