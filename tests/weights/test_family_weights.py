"""Published weights of the later families, with files that are made here."""

import hashlib
import logging

import pytest
import torch

from tests.weights.common import closed_address, copied, file_content, same, serving
from vig_pyg import create_model, weights
from vig_pyg.artifact import SEGMENTATION
from vig_pyg.classification import load_classifier
from vig_pyg.cli import main
from vig_pyg.config import MODELS, register_model, variant_config
from vig_pyg.interchange import statistics_of
from vig_pyg.preprocess import Preprocessing
from vig_pyg.segmentation import SEGMENTERS
from vig_pyg.weights._family_files import FILES, PAGES

SMALL = {"channels": (8, 12, 16, 20), "head_channels": 12, "image_size": 32}
HYBRID = {**SMALL, "local_depths": (1, 1, 1, 0), "graph_depths": (0, 0, 0, 1)}
STAGED = {**SMALL, "local_depths": (1, 1, 1, 1), "graph_depths": (1, 1, 1, 1)}
BASES = {
    "mobilevig_toy": ("mobilevig_tiny", HYBRID),
    "greedyvig_toy": ("greedyvig_small", STAGED),
    "mobilevigv2_toy": ("mobilevigv2_tiny", {**STAGED, "graph_depths": (0, 1, 1, 1)}),
    "wignet_toy": ("wignet_tiny", {**SMALL, "depths": (1, 2, 1, 1), "window": 4}),
}


@pytest.fixture(params=BASES)
def name(request):
    """A small model of each family, registered under a name of its own."""
    base, options = BASES[request.param]
    register_model(request.param, variant_config(base).override(options))
    yield request.param
    MODELS.remove(request.param)


def two_headed(name):
    """A model as the authors train it."""
    return tame(create_model(name, **({} if name.startswith("wignet") else {"distillation": True})))


def tame(model):
    """The model with other numbers that keep the features finite."""
    for key, tensor in model.state_dict().items():
        if key.endswith(("running_var", "gamma")):
            tensor.uniform_(0.5, 1.5)
        elif key.endswith(("running_mean", "bias")):
            tensor.normal_(0, 0.1)
    return model


@pytest.fixture
def published(name, tmp_path, monkeypatch):
    """A file with raw and averaged weights in the cache, and both models."""
    raw, averaged = two_headed(name), two_headed(name)
    states = [weights.convert(model, "official") for model in (raw, averaged)]
    content = file_content({"epoch": 3, "state_dict": states[0], "state_dict_ema": states[1]})
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "file.pth").write_bytes(content)
    for tag, part in (("imagenet1k", "state_dict"), (weights.AVERAGED, "state_dict_ema")):
        entry = made(name, f"{closed_address()}/file.pth", tag=tag, part=part, megabytes=len(content) / 1e6)
        monkeypatch.setitem(weights.TABLE, entry.name, entry)
    return raw, averaged


def made(name, url, **options):
    mean, std = statistics_of(variant_config(name))
    values = {"tag": "imagenet1k", "sha256": "", **options}
    look = Preprocessing(image_size=32, crop_pct=0.9, mean=mean, std=std)
    return weights.Weights(
        model=name, format="official", url=url, preprocessing=look, top1=None, top5=None, params=1, gmacs=1, **values
    )


def outputs(model, images):
    with torch.no_grad():
        return model.eval()(images)


def test_a_name_loads_the_raw_weights_and_the_averaged_ones_have_a_tag(name, published, caplog):
    images = torch.rand(2, 3, 32, 32)
    for tag, model in zip(("imagenet1k", weights.AVERAGED), published, strict=True):
        ours = create_model(name, weights=tag)
        expected = outputs(model, images)
        torch.testing.assert_close(outputs(ours, images), expected, rtol=1e-3, atol=1e-3)
        assert expected.isfinite().all() and expected.std() > 0.1
        assert ours.class_names[0] == "tench" and ours.preprocessing.crop_pct == 0.9
        assert (ours.preprocessing.mean, ours.preprocessing.std) == statistics_of(ours.config)
    assert "was used. Pass torch.load" not in caplog.text  # the part is chosen, not guessed
    found = load_classifier(name)
    torch.testing.assert_close(outputs(found.model, images), outputs(published[0], images), rtol=1e-3, atol=1e-3)
    gray = create_model(name, weights="imagenet1k", in_channels=1)
    assert gray.preprocessing.in_channels == 1 and isinstance(gray.preprocessing.mean, float)


def test_other_tasks_start_with_the_averaged_weights(name, published):
    body = SEGMENTERS["semantic_fpn"](name, num_classes=2, out_channels=8, weights_backbone="imagenet1k").body
    expected = published[1].state_dict()
    assert body.state_dict() and SEGMENTATION
    assert all(torch.equal(tensor, expected[key]) for key, tensor in body.state_dict().items())


def test_a_file_without_averaged_weights_says_so(name, published, tmp_path):
    file = tmp_path / "checkpoints" / "file.pth"
    file.write_bytes(file_content({"state_dict": weights.convert(published[0], "official")}))
    entry = weights.get_weights(f"{name}:{weights.AVERAGED}")
    entry.__dict__["megabytes"] = 0
    with pytest.raises(ValueError, match="has no 'state_dict_ema': choose"):
        create_model(name, weights=weights.AVERAGED)


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_files_are_converted_both_ways(name, heads, ending, tmp_path):
    model = two_headed(name) if heads == 2 else tame(create_model(name))
    torch.save(weights.convert(model, "official"), tmp_path / "official.pth")
    native, back = tmp_path / f"native.{ending}", tmp_path / f"back.{ending}"
    assert main(["convert", str(tmp_path / "official.pth"), str(native)]) == 0
    assert same(weights.unwrap_state_dict(weights.read_state(native)), copied(model))
    assert main(["convert", str(native), str(back), "--format", "official"]) == 0
    official = weights.read_state(tmp_path / "official.pth")
    assert same(weights.unwrap_state_dict(weights.read_state(back)), official)


def test_without_a_hash_the_size_is_compared_and_the_hash_is_logged_once(tmp_path, monkeypatch, caplog):
    content = file_content({"state_dict": {"a": torch.ones(3)}})
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path))
    with serving({"/file.pth": content}) as (address, asked):
        entry = made("greedyvig_small", f"{address}/file.pth", megabytes=round(len(content) / 1e6, 6))
        with caplog.at_level(logging.WARNING):
            path = weights.download(entry, progress=False)
            assert hashlib.sha256(content).hexdigest() in caplog.text and len(caplog.records) == 1
            assert weights.download(entry, progress=False) == path
        assert len(caplog.records) == 1 and len(asked) == 1
        path.write_bytes(content + b"x" * len(content))  # another file
        assert weights.download(entry, progress=False).read_bytes() == content
        wrong = made("greedyvig_small", f"{address}/file.pth", megabytes=5)
        with pytest.raises(ValueError, match=r"MB, expected 5 MB: it is damaged or another file, and was not saved"):
            weights.download(wrong, progress=False)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_table_has_the_files_that_are_known():
    for model in FILES:
        entry, averaged = (weights.get_weights(f"{model}:{tag}") for tag in ("imagenet1k", weights.AVERAGED))
        assert entry.url == averaged.url and entry.url.startswith("https://huggingface.co/SLDGroup/")
        assert (entry.part, averaged.part) == ("state_dict", "state_dict_ema")
        assert len(entry.sha256) in (0, 64) and entry.license == "Apache-2.0"
        assert entry.preprocessing.resize_size == 248
        with torch.device("meta"):
            network = create_model(model, distillation=True)
        assert round(sum(p.numel() for p in create_on_meta(model).parameters()) / 1e6, 3) == entry.params
        values = sum(t.numel() for t in network.state_dict().values())
        if entry.megabytes:  # every value twice, as float32
            assert entry.megabytes == pytest.approx(8 * values / 1e6, rel=0.02)
        assert entry.meta["source"] == f"https://github.com/SLDGroup/{entry.url.split('/')[4]}"


def create_on_meta(model):
    with torch.device("meta"):
        return create_model(model)


@pytest.mark.parametrize("model", [m for m in MODELS if m.partition("_")[0] in PAGES and m not in FILES])
def test_a_model_without_a_known_file_names_the_page(model):
    with pytest.raises(ValueError, match=rf"'{model}:imagenet1k'.*authors' page is https://.*load_weights"):
        create_model(model, weights="imagenet1k", num_classes=1000)
