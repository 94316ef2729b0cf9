import errno
import os

import pytest
import torch

from vig_pyg.train.checkpoint_io import AtomicCheckpointIO


def test_checkpoints_come_back(tmp_path):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"x": torch.arange(3)}, tmp_path / "a.ckpt")
    assert io.load_checkpoint(tmp_path / "a.ckpt", weights_only=True)["x"].tolist() == [0, 1, 2]
    with pytest.raises(TypeError, match="local folders"):
        io.save_checkpoint({}, tmp_path / "a.ckpt", storage_options={})


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"x": torch.arange(3)}, tmp_path / "last.ckpt")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"last\.ckpt could not be written"):
        io.save_checkpoint({"x": torch.arange(4)}, tmp_path / "last.ckpt")
    assert io.load_checkpoint(tmp_path / "last.ckpt", weights_only=True)["x"].tolist() == [0, 1, 2]
