import pytest

from tests.images import make_folder
from vig_pyg.classification import load_config, load_data


def load(preset="scratch", **values):
    return load_data(load_config(preset, ("test", values)))


def test_every_value_reaches_the_data(tmp_path):
    root = make_folder(tmp_path / "images")
    data = load(data=str(root), image_size=20, in_channels=1, crop_pct=0.5, batch_size=6, num_workers=1, cache=24)
    assert (data.preprocessing.image_size, data.preprocessing.in_channels, data.preprocessing.crop_pct) == (20, 1, 0.5)
    assert (data.batch_size, data.num_workers, data.cache) == (6, 1, 24)
    (root / "train" / "red" / "0.png").write_bytes(b"")
    assert len(load(data=str(root), on_bad="drop").train_set) == 15
    text = "path,label,split\nimages/val/red/0.png,1,train\nimages/val/red/1.png,2,train\n"
    (tmp_path / "t.CSV").write_text(text + "images/val/red/2.png,2,val\n")
    assert load(data=str(tmp_path / "t.CSV")).class_names == ["1", "2"]
    (tmp_path / "t.tsv").write_text(text.replace(",", "\t") + "images/val/red/2.png\t2\tval\n")
    assert load(data=str(tmp_path / "t.tsv")).class_names == ["1", "2"]


def test_digits_and_what_does_not_go_with_them():
    still = load("digits", augmentation={"affine": False}).train_set
    assert (still[0][0] == still[0][0]).all()
    with pytest.raises(ValueError, match="digits has fixed values: in_channels=1"):
        load("digits", in_channels=3)
    with pytest.raises(ValueError, match="cifar10 has fixed values: in_channels=3, no cache"):
        load(data="cifar10", cache=64)
