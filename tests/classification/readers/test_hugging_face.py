import importlib.util
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.classification.job import NETWORK
from tests.images import BROKEN, make_folder, make_odd, make_various
from vig_pyg._requirements import missing_message
from vig_pyg.classification import load_config, load_data
from vig_pyg.classification.readers import ReaderOptions, find_labeled_in, open_collection
from vig_pyg.cli import main
from vig_pyg.image_io import UnreadableImageError, read_image

ROOT = Path(__file__).parents[3]
needs = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="datasets is not installed")
#: Packages that the environment of the tests lacks.
PACKAGES = ["datasets>=4", "pyarrow", "pandas", "dill", "xxhash", "multiprocess", "httpx"]


@pytest.mark.skipif(importlib.util.find_spec("datasets") is not None, reason="datasets is installed")
def test_without_the_package_its_extra_is_named():
    message = missing_message("Data named hfds/ needs datasets", "hfds")
    with pytest.raises(ImportError, match=re.escape(message)):
        open_collection("hfds/mnist", ReaderOptions())


@pytest.fixture(autouse=True)
def quiet(tmp_path, monkeypatch, request):
    """Tables go to a folder of the test, and the hub is not asked."""
    if "datasets" in sys.modules or importlib.util.find_spec("datasets") is not None:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def tables(folder, *, names=("blue", "red"), columns=("image", "label")):
    """A table of each part of a folder of images."""
    import datasets

    made = {}
    for part in ("train", "val"):
        files = sorted((folder / part).glob("*/*"))
        features = datasets.Features({columns[0]: datasets.Image(), columns[1]: datasets.ClassLabel(names=list(names))})
        values = {
            columns[0]: [{"path": file.name, "bytes": file.read_bytes()} for file in files],
            columns[1]: [names.index(file.parent.name) for file in files],
        }
        made[{"train": "train", "val": "validation"}[part]] = datasets.Dataset.from_dict(values, features=features)
    return datasets.DatasetDict(made)


@needs
@pytest.mark.parametrize("form", ["saved", "parquet", "files"])
def test_the_same_data_as_from_a_folder(tmp_path, form):
    folder = make_folder(tmp_path / "images")
    if form == "files":
        where = folder
        (folder / "val").rename(folder / "validation")
    elif form == "saved":
        tables(folder).save_to_disk(where := tmp_path / "table")
    else:
        where = tmp_path / "table"
        where.mkdir()
        for part, table in tables(folder).items():
            table.to_parquet(where / f"{part}-00000-of-00001.parquet")
    values = {"data": f"hfds/{where}", "image_size": 24, "in_channels": 3, "batch_size": 4, "num_workers": 0}
    found, want = (load_data(load_config("scratch", ("test", {**values, "data": data})))
                   for data in (f"hfds/{where}", str(folder)))  # fmt: skip
    assert (found.class_names, found.title) == (want.class_names, where.name)
    for one, two in ((found.train_set, want.train_set), (found.val_set, want.val_set)):
        assert len(one) == len(two) and one.labels == two.labels
        for i in range(len(one)):
            assert (one[i, 7][0] == two[i, 7][0]).all()
    again = pickle.loads(pickle.dumps(found.val_set))
    assert (again[3][0] == want.val_set[3][0]).all()
    labeled = find_labeled_in(f"hfds/{where}", ["red", "green", "blue"], ReaderOptions())
    assert labeled.labels == [2] * 4 + [0] * 4


@needs
def test_the_same_pixels_and_reasons_as_those_of_files(tmp_path):
    import datasets

    files = [*make_various(tmp_path / "various"), *sorted(make_odd(tmp_path / "odd").iterdir())]
    values = {"photo": [{"path": None, "bytes": file.read_bytes()} for file in files], "label": ["x"] * len(files)}
    features = datasets.Features({"photo": datasets.Image(), "label": datasets.Value("string")})
    datasets.Dataset.from_dict(values, features=features).save_to_disk(tmp_path / "table")
    part = open_collection(f"hfds/{tmp_path / 'table'}", ReaderOptions()).parts[""]()
    assert part.labels == values["label"]
    for file, image in zip(files, part.images, strict=True):
        if file.name in BROKEN and file.name != "narrow.png":
            with pytest.raises(UnreadableImageError, match=BROKEN[file.name]):
                read_image(image)
        elif file.name != "narrow.png":
            assert (np.asarray(read_image(image)) == np.asarray(read_image(file))).all(), file
    assert str(part.images[2]) == f"{tmp_path / 'table'}, row 2"


@needs
@pytest.mark.parametrize(
    ("columns", "options", "said"),
    [
        (["a", "b", "x"], {}, r"several columns of images \(a, b\): name one with input_key"),
        (["x"], {}, "no column of images"),
        (["a"], {}, "no column of labels: name one with target_key"),
        (["a", "x"], {"target_key": "y"}, "no column of labels 'y'; its columns are a, x"),
        (["a", "x"], {"input_key": "x"}, "no column of images 'x'"),
        (["a", "x", "y"], {}, r"several columns of labels \(x, y\)"),
    ],
)
def test_columns_are_found_or_named(tmp_path, columns, options, said):
    import datasets

    kinds = {name: datasets.Image() if name in "ab" else datasets.ClassLabel(names=["p", "q"]) for name in columns}
    values = {name: [None] if name in "ab" else [1] for name in columns}
    datasets.Dataset.from_dict(values, features=datasets.Features(kinds)).save_to_disk(tmp_path / "table")
    with pytest.raises(ValueError, match=said):
        open_collection(f"hfds/{tmp_path / 'table'}", ReaderOptions(**options))
    keys = {"input_key": "a", "target_key": "x"}
    if {"a", "x"} <= set(columns):
        part = open_collection(f"hfds/{tmp_path / 'table'}", ReaderOptions(**keys)).parts[""]()
        assert part.labels == [1]
        with pytest.raises(UnreadableImageError, match="the row has no image"):
            read_image(part.images[0])


@needs
def test_unlabeled_rows_are_left_out(tmp_path):
    import datasets

    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    values = {"image": [{"path": None, "bytes": bytes([i])} for i in range(4)], "label": [-1, 7, None, 3]}
    datasets.Dataset.from_dict(values, features=features).save_to_disk(tmp_path / "table")
    collection = open_collection(f"hfds/{tmp_path / 'table'}", ReaderOptions())
    part = collection.parts[""]()
    assert (collection.class_names, part.labels, [one.content() for one in part.images]) == (
        None,
        [7, 3],
        [b"\1", b"\3"],
    )


@needs
def test_a_slice_may_be_named(tmp_path):
    folder = tmp_path / "table"
    folder.mkdir()
    for part, table in tables(make_folder(tmp_path / "images")).items():
        table.to_parquet(folder / f"{part}.parquet")
    splits = ("train[:25%]", "train[75%:]")
    collection = open_collection(f"hfds/{folder}", ReaderOptions(splits=splits))
    assert [len(collection.parts[name]().labels) for name in (*splits, "train", "validation")] == [4, 4, 16, 8]


@needs
def test_a_third_part_of_a_name_on_the_hub_is_a_configuration(monkeypatch):
    import datasets

    calls = []
    table = datasets.Dataset.from_dict(
        {"label": ["a"]}, features=datasets.Features({"label": datasets.Value("string")})
    )
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *where, split=None: calls.append((*where, split)) or {"train": table}
    )
    for name in ("mnist", "ylecun/mnist", "somebody/pets/small"):
        with pytest.raises(ValueError, match="no column of images"):
            open_collection(f"hfds/{name}", ReaderOptions(splits=("train[:5]",)))
    assert calls[::2] == [("mnist", None), ("ylecun/mnist", None), ("somebody/pets", "small", None)]
    assert calls[1::2] == [(*where[:-1], "train[:5]") for where in calls[::2]]
    monkeypatch.setattr(datasets, "__version__", "3.6.0")
    with pytest.raises(ImportError, match=r"3\.6\.0 executes code of data sets"):
        open_collection("hfds/mnist", ReaderOptions())


@needs
def test_data_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*none\.$"):
        open_collection(f"hfds/{tmp_path}/none", ReaderOptions())
    with pytest.raises(FileNotFoundError, match=r"pass --data hfds/somebody/none too"):
        open_collection("hfds/somebody/none", ReaderOptions(download=False))
    with pytest.raises(OSError, match=r"somebody/none"):
        open_collection("hfds/somebody/none", ReaderOptions())
    (tmp_path / "a.csv").touch()
    with pytest.raises(ValueError, match="expected a folder, a Parquet file, or a name on the hub"):
        open_collection(f"hfds/{tmp_path}/a.csv", ReaderOptions())


@needs
def test_commands_train_and_evaluate(tmp_path, capsys):
    tables(make_folder(tmp_path / "images")).save_to_disk(tmp_path / "table")
    options = [f"--options.{key}={value}" for key, value in NETWORK.items()]
    out, data = tmp_path / "run", f"hfds/{tmp_path / 'table'}"
    quick = ["--epochs", "1", "--batch-size", "4", "--image-size", "16", "--num-workers", "1", "--quiet"]
    assert main(["train", "--data", data, "--model", "vig_micro", "--out", str(out), *quick, *options]) == 0
    assert main(["evaluate", str(out), data, "--device", "cpu", "--num-workers", "0"]) == 0
    assert "8 images, all classes" in capsys.readouterr().out


@pytest.mark.slow
def test_all_of_these_with_the_package(tmp_path):
    if shutil.which("uv") is None:
        pytest.skip("needs uv")
    target = tmp_path / "site-packages"  # dill takes modules outside of folders with this name for the user's own
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", target, "--no-deps"]
    subprocess.run([*command, *PACKAGES], check=True)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{target}", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "-p", "no:cacheprovider", __file__],
        cwd=ROOT, env=env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(done.stdout.rsplit(" passed", 1)[0].split()[-1]) >= 15, done.stdout
