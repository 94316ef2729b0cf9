import json

import pytest

from vig_pyg.classification.ablation import Variant
from vig_pyg.classification.ablation.folder import AblationFolder


def variant(name, code=""):
    return Variant(name, "", lambda model, options: None, code)


def test_runs_are_found_again_by_seed(tmp_path):
    variants = [variant("mr"), variant("a:B, knn", "abc")]
    folder = AblationFolder(tmp_path / "a", {"epochs": 1, "k": (1, 2)})
    for seed in (10, 2, 0):
        for one in variants:
            folder.save(one, seed, {"top1": float(seed)})
    again = AblationFolder(tmp_path / "a", {"epochs": 1, "k": [1, 2]}).runs(variants)
    assert {name: [run["seed"] for run in runs] for name, runs in again.items()} == {
        "mr": [0, 2, 10],
        "a:B, knn": [0, 2, 10],
    }
    assert list(folder.runs(variants[:1])) == ["mr"]


def test_folders_of_older_scripts_are_read(tmp_path):
    """Runs without the fingerprint of code."""
    (tmp_path / "runs").mkdir()
    (tmp_path / "ablation.json").write_text(json.dumps({"epochs": 1}))
    run = {"variant": "mr", "seed": 0, "top1": 98.0, "seconds": 3.0, "environment": {"commit": "abc"}}
    (tmp_path / "runs" / "mr.seed0.json").write_text(json.dumps(run))
    folder = AblationFolder(tmp_path, {"epochs": 1})
    assert folder.run_file(variant("mr"), 0).exists() and folder.runs([variant("mr")]) == {"mr": [run]}


def test_other_settings_and_folders_are_refused(tmp_path):
    folder = AblationFolder(tmp_path / "a", {"epochs": 1, "lr": 0.1})
    folder.save(variant("mr"), 0, {"top1": 1.0})
    with pytest.raises(ValueError, match=r"other settings \(epochs: 1 there, 2 now; new: None there, 3 now\)"):
        AblationFolder(tmp_path / "a", {"epochs": 2, "lr": 0.1, "new": 3})
    (tmp_path / "b").mkdir()
    AblationFolder(tmp_path / "b", {})  # an empty folder
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "some.txt").write_text("mine")
    (tmp_path / "d").write_text("a file")
    for name in "cd":
        with pytest.raises(ValueError, match="is not the folder of an ablation"):
            AblationFolder(tmp_path / name, {})
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["some.txt"]


def test_a_folder_without_runs_takes_other_settings(tmp_path):
    """An ablation that stopped at a broken image is repeated with the advice of its error, such as `--on-bad drop`."""
    folder = AblationFolder(tmp_path / "a", {"on_bad": "stop"})
    folder.save_costs({"mr": {"ms": 1.0}})
    again = AblationFolder(tmp_path / "a", {"on_bad": "drop"})
    assert again.costs() == {} and json.loads((tmp_path / "a" / "ablation.json").read_text()) == {"on_bad": "drop"}
    again.started(variant("mr"), 0).mkdir()  # an unfinished run
    with pytest.raises(ValueError, match="other settings"):
        AblationFolder(tmp_path / "a", {"on_bad": "stop"})


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"variant": "mr"}', '{"variant": "mr", "seed": 0}'])
def test_damaged_runs_are_named(tmp_path, text):
    folder = AblationFolder(tmp_path / "a", {})
    folder.run_file(variant("mr"), 0).write_text(text)
    with pytest.raises(ValueError, match=r"mr\.seed0\.json"):
        folder.runs([variant("mr")])


def test_runs_of_other_code_are_refused(tmp_path):
    folder = AblationFolder(tmp_path / "a", {})
    folder.save(variant("my:Op", "one"), 0, {"top1": 1.0})
    assert folder.runs([variant("my:Op", "one")])
    with pytest.raises(ValueError, match="trained with another version of the code of my:Op"):
        folder.runs([variant("my:Op", "two")])
    assert folder.started(variant("my:Op", "one"), 0) != folder.started(variant("my:Op", "two"), 0)


def test_costs(tmp_path):
    folder = AblationFolder(tmp_path / "a", {})
    assert folder.costs() == {}
    folder.save_costs({"mr": {"macs": 3}})
    assert AblationFolder(tmp_path / "a", {}).costs() == {"mr": {"macs": 3}}
