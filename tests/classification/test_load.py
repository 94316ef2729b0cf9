import pytest
import torch

from tests.common import calibrated
from tests.weights.common import closed_address, make_entry, official_file, same
from vig_pyg import create_model, pvig_micro, vig_micro, weights
from vig_pyg.classification import load_classifier
from vig_pyg.preprocess import Preprocessing


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "checkpoints"


@pytest.fixture
def published(home, monkeypatch):
    """Weights of `pvig_micro`, in the table and in the cache, without a network."""
    model = calibrated(pvig_micro())
    content = official_file(model)
    home.mkdir(parents=True)
    for tag in weights.TAGS:
        entry = make_entry(f"{closed_address()}/{tag[-3:]}.pth.tar", content, model="pvig_micro", tag=tag)
        monkeypatch.setitem(weights.TABLE, entry.name, entry)
        (home / entry.file_name).write_bytes(content)
    return model


@pytest.fixture
def saved(tmp_path):
    """A function that saves a model in a folder."""

    def save(**options):
        model = calibrated(pvig_micro(**options))
        model.save_pretrained(tmp_path / "saved")
        return model

    return save


@pytest.mark.parametrize("name", ["pvig_micro", "pvig_micro:imagenet1k", "pvig_micro:imagenet1k:mmpretrain"])
def test_a_name_is_published_weights(published, name):
    found = load_classifier(name)
    assert found.name == name and not found.model.training
    assert same(found.model.state_dict(), published.state_dict())
    assert found.class_names[217] == "English springer" and len(found.class_names) == 1000
    assert found.preprocessing == Preprocessing(image_size=32, crop_pct=0.9)


def test_a_folder_of_save_pretrained(tmp_path, saved):
    model = saved(num_classes=3)
    found = load_classifier(tmp_path / "saved")
    assert same(found.model.state_dict(), model.state_dict()) and not found.model.training
    assert found.class_names == ["0", "1", "2"]  # it has no names
    assert found.preprocessing == Preprocessing(image_size=32)
    model.class_names, model.preprocessing = ["a", "b", "c"], Preprocessing(image_size=40, mean=0.3)
    model.save_pretrained(tmp_path / "saved")
    found = load_classifier(str(tmp_path / "saved"))
    assert (found.class_names, found.preprocessing) == (model.class_names, model.preprocessing)


def test_a_file_for_a_name(tmp_path):
    model = calibrated(vig_micro(num_classes=4))
    (tmp_path / "weights.pth").write_bytes(official_file(model))
    found = load_classifier("vig_micro", weights=tmp_path / "weights.pth")
    assert same(found.model.state_dict(), model.state_dict()) and not found.model.training
    assert found.class_names == ["0", "1", "2", "3"] and found.preprocessing == Preprocessing(image_size=32)


def test_a_file_for_a_published_name_has_its_preprocessing(tmp_path):
    torch.save(create_model("vig_tiny", num_classes=1000).state_dict(), tmp_path / "weights.pth")
    found = load_classifier("vig_tiny", weights=str(tmp_path / "weights.pth"))
    assert found.preprocessing == weights.get_weights("vig_tiny").preprocessing
    assert found.class_names == weights.get_weights("vig_tiny").categories


def test_image_size_and_position_can_be_changed(tmp_path, saved):
    model = saved(num_classes=3)
    found = load_classifier(tmp_path / "saved", image_size=64, position="grid")
    assert found.preprocessing.image_size == 64 and found.model.config.position == "grid"
    assert same(found.model.state_dict(), model.state_dict()) and not found.model.training
    images = torch.rand(1, 3, 64, 64)
    one, two = (m.graphs(images)[0].edge_index for m in (found.model, model.eval()))
    assert one.shape == two.shape and not torch.equal(one, two)


def test_what_is_wrong_is_told(tmp_path, home, saved):
    with pytest.raises(
        FileNotFoundError,
        match=r"There is no folder pvig_smal and no model with this name\. Did you mean 'pvig_small'\? Pass a run",
    ):
        load_classifier("pvig_smal")
    with pytest.raises(ValueError, match="no published weights 'vig_micro'"):
        load_classifier("vig_micro")
    with pytest.raises(ValueError, match="no published weights 'vig_tiny:imagenet22k'"):
        load_classifier("vig_tiny:imagenet22k")
    with pytest.raises(FileNotFoundError, match="is neither a run folder nor"):
        load_classifier(tmp_path)
    saved(num_classes=0)
    with pytest.raises(ValueError, match=r"saved has no classifier \(num_classes is 0\), so it cannot predict classes"):
        load_classifier(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"saved has its own weights: pass the name of a model to use other weights"):
        load_classifier(tmp_path / "saved", weights="x.pth")


def test_what_is_wrong_with_a_file_is_told(tmp_path):
    path = tmp_path / "weights.pth"
    with pytest.raises(FileNotFoundError, match=r"There is no weight file at .*weights.pth"):
        load_classifier("vig_micro", weights=path)
    torch.save(vig_micro(num_classes=3).state_dict(), path)
    with pytest.raises(ValueError, match=r"do not fit this PyramidViG \(they look like vig_micro\)"):
        load_classifier("pvig_micro", weights=path)
    with pytest.raises(
        ValueError, match=r"names published weights, but .*weights\.pth is given too: pass only vig_tiny"
    ):
        load_classifier("vig_tiny:imagenet1k", weights=path)
    with pytest.raises(ValueError, match=r"weights\.pth is a file: pass the name of its model"):
        load_classifier(path)
    torch.save(vig_micro(num_classes=0).state_dict(), path)
    with pytest.raises(
        ValueError, match=r"has no classifier \(it looks like vig_micro\), so it cannot predict classes"
    ):
        load_classifier("vig_micro", weights=path)
    torch.save({"fc.weight": torch.zeros(3, 3), "fc.bias": torch.zeros(3)}, path)
    with pytest.raises(
        ValueError, match=r"not weights of a Vision GNN: they have no pos_embed.weight, but fc.bias; fc"
    ):
        load_classifier("vig_micro", weights=path)


def test_options_that_make_no_sense_are_refused(tmp_path, saved):
    saved(num_classes=3)
    with pytest.raises(ValueError, match="image_size must be at least 1"):
        load_classifier(tmp_path / "saved", image_size=0)
    with pytest.raises(ValueError, match="Unknown position mode 'table'"):
        load_classifier(tmp_path / "saved", position="table")
    torch.save(vig_micro(num_classes=3).state_dict(), tmp_path / "vig.pth")
    with pytest.raises(TypeError, match="position='grid' is an option of Pyramid ViG: a ViG has no position mode"):
        load_classifier("vig_micro", weights=tmp_path / "vig.pth", position="grid")
