import gzip
import hashlib
import pickle
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from tests.classification.readers.mnist import idx, write_mnist
from vig_pyg.classification.readers import ReaderOptions, open_collection
from vig_pyg.classification.readers.torch_sets import load_torch
from vig_pyg.image_io import read_image


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("Fashion_MNIST", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_pixels_and_labels_of_mnist_and_its_relatives(tmp_path, name, folder):
    want = write_mnist(tmp_path, folder, np.random.default_rng(0))
    collection = open_collection(f"torch/{name}", ReaderOptions(root=str(tmp_path)))
    assert collection.class_names == list(getattr(datasets, folder).classes)
    for part, (pixels, labels) in zip(("train", "val"), want.values(), strict=True):
        read = collection.parts[part]()
        assert read.labels == labels.tolist()
        assert all((np.asarray(read_image(one)) == two).all() for one, two in zip(read.images, pixels, strict=True))
    assert str(read.images[3]) == f"torch/{name.lower()}: 3"


def test_pixels_and_labels_of_qmnist(tmp_path):
    """Labels have eight columns: the first is the class."""
    rng, want = np.random.default_rng(0), {}
    folder = tmp_path / "QMNIST" / "raw"
    folder.mkdir(parents=True)
    for part, names in (("train", "train"), ("val", "test")):
        pixels = rng.integers(0, 256, (5, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, (5, 8), dtype=np.int32)
        head = struct.pack(">BBBB", 0, 0, 12, 2) + struct.pack(">2I", 5, 8)
        (folder / f"qmnist-{names}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"qmnist-{names}-labels-idx2-int").write_bytes(head + labels.astype(">i4").tobytes())
        for path in list(folder.iterdir()):
            if not path.name.endswith(".gz"):
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        want[part] = labels[:, 0].tolist()
    collection = open_collection("torch/qmnist", ReaderOptions(root=str(tmp_path), download=False))
    assert {part: read().labels for part, read in collection.parts.items()} == want


def test_pixels_and_labels_of_cifar(tmp_path, monkeypatch):
    source = datasets.CIFAR10
    folder = tmp_path / source.base_folder
    folder.mkdir()

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    for part in ("train_list", "test_list"):
        pixels = np.arange(2 * 3072, dtype=np.int64).astype(np.uint8).reshape(2, 3072)
        files = [[name, write(name, {"data": pixels, "labels": [1, 3]})] for name, _ in getattr(source, part)]
        monkeypatch.setattr(source, part, files)
    names = [f"class {i}" for i in range(10)]
    meta = {**source.meta, "md5": write(source.meta["filename"], {source.meta["key"]: names})}
    monkeypatch.setattr(source, "meta", meta)
    collection = open_collection("torch/cifar10", ReaderOptions(root=str(tmp_path)))
    part = collection.parts["val"]()
    assert collection.class_names == names and part.labels == [1, 3] and len(collection.parts["train"]().labels) == 10
    assert (np.asarray(read_image(part.images[1])) == pixels[1].reshape(3, 32, 32).transpose(1, 2, 0)).all()


def test_files_of_inaturalist_are_read_like_others(tmp_path):
    """torchvision would not turn this photo."""
    names = ["00000_Animalia_A_A_A_A_A_a", "00001_Animalia_B_B_B_B_B_b"]
    for version in ("2021_train", "2021_valid"):
        for name in names:
            (tmp_path / version / name).mkdir(parents=True)
            exif = Image.Exif()
            exif[0x0112] = 6
            Image.new("RGB", (8, 4)).save(tmp_path / version / name / "1.jpg", exif=exif)
    collection = open_collection("torch/inaturalist", ReaderOptions(root=str(tmp_path)))
    part = collection.parts["train"]()
    assert (collection.class_names, part.labels) == (names, [0, 1])
    assert read_image(part.images[0]).size == (4, 8)


@pytest.mark.parametrize("download", [True, False])
def test_missing_files_are_named(tmp_path, monkeypatch, download):
    def fetch(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", fetch)
    options = ReaderOptions(root=str(tmp_path), download=download)
    error, said = (
        (ConnectionError, "no network|Error") if download else (FileNotFoundError, "pass --data torch/mnist too")
    )
    with pytest.raises(error, match=rf"torch/mnist is not in {tmp_path}.*({said})"):
        open_collection("torch/mnist", options)
    for large in ("imagenet", "places365", "iNaturalist"):
        with pytest.raises(FileNotFoundError, match=r"put its files there, or pass another --root"):
            open_collection(f"torch/{large}", options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_of_several_processes_one_downloads(tmp_path, monkeypatch):
    there, running, most = [], [], []

    def create(name, *, root, split, download):
        if download:
            running.append(1)
            most.append(len(running))
            started.wait(timeout=0.2)  # others would begin meanwhile
            there.append(name)
            running.pop()
        if not there:
            raise RuntimeError("Dataset not found")
        return name

    started = threading.Event()
    monkeypatch.setattr("timm.data.dataset_factory.create_dataset", create)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: load_torch("mnist", "train", tmp_path), range(8)))
    assert found == ["torch/mnist"] * 8 and most == [1]


def test_names_that_are_not_known(tmp_path):
    with pytest.raises(ValueError, match="torch/imagenette is not known: choose one of cifar10, cifar100, mnist"):
        open_collection("torch/imagenette", ReaderOptions())
    with pytest.raises(ValueError, match="is a folder of images: pass the folder itself"):
        open_collection("torch/image_folder", ReaderOptions())
    with pytest.raises(ValueError, match="leave out target_key"):
        open_collection("torch/mnist", ReaderOptions(target_key="label"))
