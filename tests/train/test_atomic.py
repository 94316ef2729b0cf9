import errno
import os

import pytest
import torch

from vig_pyg.train.atomic import AtomicCheckpointIO, write_atomic, write_atomic_with


def test_writes_and_replaces(tmp_path):
    write_atomic(tmp_path / "file", "old")
    write_atomic(tmp_path / "file", b"new")
    write_atomic_with(tmp_path / "other", lambda file: file.write(b"by a writer"))
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "other").read_text() == "by a writer"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "other"]


@pytest.mark.parametrize("part", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, part):
    write_atomic(tmp_path / "last.ckpt", "good")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, part, full)
    with pytest.raises(OSError, match=r"last\.ckpt could not be written \(No space left on device\)"):
        write_atomic(tmp_path / "last.ckpt", "half")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("last.ckpt", "good")]


def test_the_name_appears_when_all_is_written(tmp_path, monkeypatch):
    seen, replace = [], os.replace

    def look(source, target):
        seen.append((os.path.exists(target), os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    write_atomic(tmp_path / "file", "x" * 1000)
    assert seen == [(False, 1000)]


def test_checkpoints_come_back(tmp_path):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"x": torch.arange(3)}, tmp_path / "a.ckpt")
    assert io.load_checkpoint(tmp_path / "a.ckpt", weights_only=True)["x"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="local folders"):
        io.save_checkpoint({}, tmp_path / "a.ckpt", storage_options={})
