import hashlib
import pickle

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from vig_pyg.classification import CifarData


@pytest.mark.parametrize(("classes", "source"), [(10, CIFAR10), (100, CIFAR100)])
def test_cifar_from_files_that_are_there(tmp_path, monkeypatch, classes, source):
    folder = tmp_path / source.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    key = "labels" if classes == 10 else "fine_labels"
    for part, first in (("train_list", 0), ("test_list", 100)):
        pixels = np.full((4, 3072), first, dtype=np.uint8)
        files = [[name, write(name, {"data": pixels, key: [0, 1, 2, 3]})] for name, _ in getattr(source, part)]
        monkeypatch.setattr(source, part, files)
    meta = dict(source.meta)
    meta["md5"] = write(meta["filename"], {meta["key"]: [f"class {i}" for i in range(classes)]})
    monkeypatch.setattr(source, "meta", meta)
    data = CifarData(classes, tmp_path, batch_size=4, num_workers=0)
    assert len(data.class_names) == classes
    assert len(data.train_set) == (20 if classes == 10 else 4)
    assert data.val_set[0][0].shape == (3, 32, 32)
    assert data.val_set[0][0].unique().item() == pytest.approx((100 / 255 - 0.5) / 0.5)
    with pytest.raises(ValueError, match="classes must be 10 or 100, got 20"):
        CifarData(20, tmp_path)
