import json
import logging

import pytest

import vig_pyg
from tests.cli.common import fails
from tests.common import closed
from vig_pyg.models import hub
from vig_pyg.models.hub import find_folder, is_hub_name
from vig_pyg.models.local_folder import is_path

LOCAL = [
    "runs/nothing",
    "runs/a.b",
    "./mine",
    "../mine",
    "/mine",
    "~/mine",
    "~mine/a",
    "photos/best",
    "runs/a/b",
    "./a/b",
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with two runs and a folder of images, in which nothing may be asked of the hub."""
    for name in ("runs/digits", "runs/photos", "runs/empty", "photos"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("digits", "photos"):
        (tmp_path / "runs" / name / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)

    def refuse(*_, **__):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    return tmp_path


@pytest.mark.parametrize("name", LOCAL)
def test_a_local_name_is_never_looked_up(place, name, capsys):
    assert is_path(name) and not is_hub_name(name)
    with pytest.raises(FileNotFoundError, match=r"^There is no folder "):
        vig_pyg.load(name)
    (place / "photo.png").write_bytes(b"")
    for start in (["predict"], ["detect", "predict"], ["segment", "predict"]):
        assert "There is no folder" in fails(capsys, *start, name, "photo.png")


@pytest.mark.parametrize("name", ["runs/nothing", "photos/best"])
def test_a_name_in_the_form_of_the_hub_is_a_missing_folder(place, name):
    with pytest.raises(FileNotFoundError, match=f"^There is no folder {name}"):
        find_folder(name)


@pytest.mark.parametrize("name", ["somebody/my-vig", "run/nothing", "microsoft/photos"])
def test_other_names_are_those_of_the_hub(place, name):
    assert is_hub_name(name) and not is_path(name)
    with pytest.raises(AssertionError, match="the hub was asked"):
        find_folder(name)


def test_the_runs_beside_it_are_named(place):
    with pytest.raises(FileNotFoundError) as error:
        vig_pyg.load("runs/digit")
    assert str(error.value) == "There is no folder runs/digit. runs has digits, photos. Did you mean runs/digits?"
    for i in range(20):
        (place / "runs" / f"z{i}").mkdir()
        (place / "runs" / f"z{i}" / "config.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"digits, photos, z0, .*[^.,] and \d+ more\.$") as error:
        vig_pyg.load("runs/nothing")
    assert str(error.value).count(", ") == 9


def test_a_folder_that_cannot_be_read_hides_no_run_beside_it(place, monkeypatch):
    closed(monkeypatch, "empty")
    with pytest.raises(FileNotFoundError, match=r"runs has digits, photos\. Did you mean runs/photos\?"):
        find_folder("runs/photso")


def test_the_hub_s_library_prints_no_retries(monkeypatch, caplog):
    log = logging.getLogger("huggingface_hub.utils._http")

    def retry(*_, **__):
        log.warning("thrown while requesting")
        log.warning("Retrying in 1s [Retry 1/5].")
        raise OSError("no connection")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", retry)
    before = log.level
    with caplog.at_level("WARNING"), pytest.raises(ConnectionError, match="no connection"):
        hub.find_folder("somebody/my-vig")
    assert not caplog.records and log.level == before


@pytest.mark.parametrize(
    ("task", "command"),
    [
        ("image-classification", "train"),
        ("object-detection", "detect train"),
        ("semantic-segmentation", "segment train"),
    ],
)
def test_a_stopped_run_is_told_how_to_continue(task, command, tmp_path):
    folder = tmp_path / "my run"
    folder.mkdir()
    content = {"schema_version": 1, "task": task, "model": {}}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "last.ckpt").touch()
    with pytest.raises(FileNotFoundError, match=rf"vig-pyg {command} --resume '{folder}'$"):
        find_folder(str(folder))
    (folder / "config.json").write_text("{")
    with pytest.raises(FileNotFoundError, match=rf"vig-pyg train --resume '{folder}'$"):
        find_folder(str(folder))
