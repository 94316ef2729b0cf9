import json

import pytest
import torch

from vig_pyg.cli import doctor, main
from vig_pyg.graph import cluster
from vig_pyg.ops import _native, _triton


@pytest.fixture(scope="module")
def found():
    return doctor.examine()


def test_everything_is_examined_once(found):
    assert list(found) == ["versions", "machine", "kernels and engines", "extras", "speed"]
    assert all(isinstance(value, str) and value for rows in found.values() for value in rows.values())
    assert found["versions"].keys() == {"python", *doctor.PACKAGES}
    assert {"train", "plot", "detection"} <= found["extras"].keys()
    (speed,) = found["speed"].values()
    assert speed.endswith("ms on cpu") and float(speed.split()[0]) > 0


def test_the_table_and_the_json_have_the_same_content(found, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "examine", lambda: found)
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == sum(1 + len(rows) for rows in found.values())
    assert all(f"  {name}" in "\n".join(lines) for rows in found.values() for name in rows)


def test_what_is_missing_is_named_with_its_command(monkeypatch):
    monkeypatch.setattr(cluster, "_IMPORT_ERROR", ModuleNotFoundError("No module named 'torch_cluster'"))
    monkeypatch.setattr(_native, "library", lambda: None)
    rows = doctor._kernels("cpu")
    assert "needs torch_cluster" in (row := rows["knn_engine torch_cluster"]) and "extra cluster" in row
    assert rows["CPU kernels"].startswith("missing: plain torch is used")
    monkeypatch.setattr("vig_pyg._requirements._is_installed", lambda one: not one.startswith("matplotlib"))
    assert "install" in doctor._extra("plot") and doctor._extra("hub") == "complete"
    assert doctor._version("no_such_package_xyz") == "not installed"


def test_gpus_without_kernels_are_told_with_the_reason(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(cluster, "_IMPORT_ERROR", ModuleNotFoundError("No module named 'torch_cluster'"))
    told = []
    for reason in ("", "V100 has compute capability 7.0, and the kernels need 7.5"):
        monkeypatch.setattr(_triton, "why_unsupported", lambda _, reason=reason: reason)
        told.append(doctor._kernels("cuda")["GPU kernels (Triton)"])
    monkeypatch.setattr(_triton, "why_unsupported", lambda _: "")
    monkeypatch.setattr(
        _triton, "why_plain_search", lambda _: "T4 has compute capability 7.5, and the kernels need 8.0"
    )
    told.append(doctor._kernels("cuda")["GPU kernels (Triton)"])
    monkeypatch.setattr(_triton, "_load", lambda: None)
    told.append(doctor._kernels("cuda")["GPU kernels (Triton)"])
    slower = "plain torch is used, which is slower"
    assert told == [
        "work",
        f"not used, because V100 has compute capability 7.0, and the kernels need 7.5: {slower}",
        "work but for the search, because T4 has compute capability 7.5, and the kernels need 8.0",
        f"not used, because Triton is missing: {slower}",
    ]
