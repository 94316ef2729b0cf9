import copyreg
import errno
import io
import os
import pickle
import random
import zipfile

import lightning
import pytest
import torch

from tests.classification.job import run
from vig_pyg.checkpoints import _torch_file
from vig_pyg.engine.checkpoint_io import ENTRIES, AtomicCheckpointIO, read_checkpoint

WHOLE = {**dict.fromkeys(ENTRIES, 0), "state_dict": {"x": torch.arange(3)}}


def test_checkpoints_come_back(tmp_path):
    io = AtomicCheckpointIO()
    io.save_checkpoint(WHOLE, tmp_path / "a.ckpt")
    for options in ({}, {"weights_only": True}, {"weights_only": False}, {"map_location": "cpu"}):
        assert io.load_checkpoint(tmp_path / "a.ckpt", **options)["state_dict"]["x"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="local folders"):
        io.save_checkpoint({}, tmp_path / "a.ckpt", storage_options={})


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    io = AtomicCheckpointIO()
    io.save_checkpoint(WHOLE, tmp_path / "last.ckpt")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"last\.ckpt could not be written"):
        io.save_checkpoint({"x": torch.arange(4)}, tmp_path / "last.ckpt")
    assert io.load_checkpoint(tmp_path / "last.ckpt", weights_only=True)["state_dict"]["x"].tolist() == [0, 1, 2]


class Runs:
    """Runs code where it is unpickled."""

    def __init__(self, call, *args):
        self.call = call, args

    def __reduce__(self):
        return self.call


def hostile(marker):
    """Objects that would leave a file, in many ways that pickles can."""
    code = f"open({str(marker)!r}, 'w')"
    return {
        "eval": Runs(eval, code),
        "exec": Runs(exec, code),
        "system": Runs(os.system, f"touch {marker}"),
        "open": Runs(open, str(marker), "w"),
        "getattr": Runs(getattr, Runs(__import__, "os"), "getcwd"),
        "reconstructor": Runs(copyreg._reconstructor, Runs, object, None),
        "torch.load": Runs(torch.load, str(marker)),
        "nested pickle": Runs(pickle.loads, pickle.dumps(Runs(eval, code))),
        "lightning": Runs(lightning.Trainer),
    }


#: Ways to store them: torch's archive, torch's old format, and a plain pickle.
FORMATS = {
    "archive": lambda content, path: torch.save(content, path),
    "old": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "pickle": lambda content, path: path.write_bytes(pickle.dumps(content)),
}


@pytest.mark.parametrize("place", [None, *ENTRIES, "datamodule", "hyper_parameters"])
@pytest.mark.parametrize("form", FORMATS)
def test_nothing_in_a_hostile_checkpoint_runs(tmp_path, monkeypatch, form, place):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    path, marker = tmp_path / "last.ckpt", tmp_path / "marker"
    for name, value in hostile(marker).items():
        FORMATS[form](value if place is None else {**WHOLE, place: value}, path)
        for read in (read_checkpoint, lambda path: AtomicCheckpointIO().load_checkpoint(path, weights_only=False)):
            with pytest.raises(ValueError, match=r"[Nn]othing in it was run") as error:
                read(path)
            assert str(path) in str(error.value) and "\n" not in str(error.value), name
        assert os.listdir(tmp_path) == ["last.ckpt"], name


def test_nothing_in_a_hostile_run_folder_runs(tmp_path):
    run(tmp_path / "run", epochs=1)
    path = tmp_path / "run" / "last.ckpt"
    good = torch.load(path, weights_only=True)
    torch.save({**good, "loops": Runs(os.mkdir, str(tmp_path / "marker"))}, path)
    with pytest.raises(
        ValueError, match=r"last\.ckpt contains more than .*reading it would execute \S*mkdir.*nothing in it was run"
    ):
        run(tmp_path / "run", epochs=1, resume=True)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_archives_that_would_fill_the_memory_are_refused(tmp_path):
    buffer, path = io.BytesIO(), tmp_path / "last.ckpt"
    torch.save({**WHOLE, "state_dict": {"x": torch.zeros(10**7)}}, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for one in source.infolist():
            packed.writestr(one.filename, source.read(one))
    assert path.stat().st_size < 10**6
    with pytest.raises(ValueError, match="is compressed"):
        read_checkpoint(path)


def test_damaged_checkpoints_are_said_to_be(tmp_path):
    """Cut short, with other bytes, or something else; 150 of them."""
    path, draw = tmp_path / "last.ckpt", random.Random(0)
    torch.save(WHOLE, path)
    good, read = path.read_bytes(), 0
    for turn in range(150):
        content = bytearray(good)
        if turn % 3 == 0:
            content = content[: draw.randrange(len(good))]
        else:
            for _ in range(draw.choice([1, 10, 100])):
                content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content)
        try:
            assert isinstance(read_checkpoint(path), dict)
            read += 1
        except ValueError as error:
            assert str(error).startswith(str(path))
    assert read < 100  # archives have checksums, and bytes that mean nothing
    for content in (b"", b"PK", b"<html>", b"{}"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="damaged, truncated or not a checkpoint"):
            read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match=r"no\.ckpt"):
        read_checkpoint(tmp_path / "no.ckpt")


def test_a_flipped_bit_of_a_weight_is_found(tmp_path):
    path, draw = tmp_path / "last.ckpt", random.Random(0)
    torch.save({**WHOLE, "state_dict": {"x": torch.full((500,), 1.5)}}, path)
    good = path.read_bytes()
    start = good.index(torch.full((500,), 1.5).numpy().tobytes())
    for _ in range(100):
        content = bytearray(good)
        content[start + draw.randrange(2000)] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"last\.ckpt is damaged.*the checksum of its record"):
            read_checkpoint(path)


@pytest.mark.parametrize("content", [[], {}, {"state_dict": {}}, {"x": torch.zeros(2)}, 3, None])
def test_other_content_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match="is not a checkpoint of a run: it needs the entries state_dict, epoch"):
        read_checkpoint(tmp_path / "last.ckpt")


def test_a_sparse_tensor_of_a_file_that_failed_is_not_asked_of_the_next(tmp_path):
    """torch validates sparse tensors at the end of a load, and keeps those of a load that fails in between."""
    AtomicCheckpointIO().save_checkpoint(WHOLE, tmp_path / "a.ckpt")
    lists = [getattr(place, name, None) for place, name in _torch_file._UNREAD]
    (left,) = [found for found in lists if found is not None]  # which of them depends on torch's version
    bad = torch.sparse_coo_tensor([[7]], [1.0], (2,), check_invariants=False)  # the index does not exist
    left.append(bad)
    assert read_checkpoint(tmp_path / "a.ckpt")["state_dict"]["x"].tolist() == [0, 1, 2]
    assert not left
