import json
import logging

import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.models import get_pretrained_cfg, group_parameters
from timm.optim import create_optimizer_v2

from tests.common import calibrated
from tests.images import scene
from vig_pyg import ViGConfig, create_model, list_models, register_model
from vig_pyg.config import MODELS
from vig_pyg.timm import register, vision_gnn
from vig_pyg.weights import AVERAGED, TABLE, convert


@pytest.fixture(params=["vig_micro", "pvig_micro"])
def name(request):
    return request.param


def test_every_model_is_registered():
    names = set(list_models())
    assert names <= set(timm.list_models()) and names <= set(timm.list_models(module="vision_gnn"))
    for name in list_models():
        with torch.device("meta"):
            model = timm.create_model(name)
        assert type(model).__name__ == f"Timm{type(create_model(name)).__name__}"
        assert model.default_cfg["architecture"] == name
        assert {"stem.0.weight", "head.fc2.weight"} <= model.state_dict().keys()


def test_a_model_of_one_s_own_can_be_registered_later():
    register_model("vig_own", ViGConfig(depth=2, channels=16, image_size=32, patch_size=4))
    try:
        assert register() == ["vig_own"] and register() == []
        assert timm.create_model("vig_own", num_classes=3).eval()(torch.rand(1, 3, 32, 32)).shape == (1, 3)
    finally:
        MODELS.remove("vig_own")
        vision_gnn.default_cfgs.pop("vig_own")


OF_TIMM = {name: entry for name, entry in TABLE.items() if entry.tag != AVERAGED}


@pytest.mark.parametrize("entry", OF_TIMM.values(), ids=OF_TIMM)
def test_the_table_of_weights_is_timm_s_too(entry):
    cfg = get_pretrained_cfg(f"{entry.model}.{entry.tag.replace(':', '_')}")
    images = entry.preprocessing
    assert (cfg.url, cfg.license, cfg.num_classes) == (entry.url, "apache-2.0", 1000)
    assert (cfg.input_size, cfg.crop_pct, cfg.interpolation) == ((3, 224, 224), images.crop_pct, "bicubic")
    of_colors = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    is_vig = entry.model.startswith(("vig", "pvig"))
    assert (cfg.mean, cfg.std) == (((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)) if is_vig else of_colors)
    assert cfg.pool_size == ((14, 14) if entry.model.startswith("vig") else (7, 7))
    official = get_pretrained_cfg(entry.model)
    assert official.url == TABLE[f"{entry.model}:imagenet1k"].url


@pytest.mark.parametrize("model", ["pvig_small", "pvig_base", "greedyvig_small"])
def test_timm_s_transform_is_our_preprocessing(model):
    transform = create_transform(**resolve_data_config(pretrained_cfg=get_pretrained_cfg(model).to_dict()))
    image = Image.fromarray(scene(300, 260))
    ours = TABLE[f"{model}:imagenet1k"].preprocessing(image)
    torch.testing.assert_close(transform(image), ours, rtol=0, atol=1e-6)


def test_options_have_timm_s_names_or_ours(name):
    model = timm.create_model(
        name, num_classes=4, in_chans=2, img_size=64, drop_rate=0.2, drop_path_rate=0.3, k=5, conv="gin"
    )
    config = model.config
    assert (config.num_classes, config.in_channels, config.image_size) == (4, 2, 64)
    assert (config.dropout, config.drop_path_rate, config.k, config.conv) == (0.2, 0.3, 5, "gin")
    assert model.in_chans == 2 and model(torch.rand(2, 2, 64, 64)).shape == (2, 4)
    assert timm.create_model(name, img_size=(32, 128)).config.image_size == 64
    with pytest.raises(TypeError, match="has no option 'not_a_model_arg'"):
        timm.create_model(name, not_a_model_arg=1)
    with pytest.raises(TypeError, match="Got the option 'image_size' twice"):
        timm.create_model(name, img_size=32, image_size=32)


def test_groups_and_decay(name):
    model = timm.create_model(name)
    names = [key for key, _ in model.named_parameters()]
    groups = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
    assert set(groups) == set(names) and len(set(groups.values())) == model.config.num_blocks + 2
    assert model.no_weight_decay() <= set(names)
    optimizer = create_optimizer_v2(model, "adamw", lr=1.0, weight_decay=0.1, layer_decay=0.5)
    assert len({group["lr_scale"] for group in optimizer.param_groups}) == model.config.num_blocks + 2


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Files of random weights in place of those that are published; the names of the entries that were asked for."""
    asked = []

    def download(entry, *, folder=None, progress=True):
        asked.append((entry.name, folder))
        torch.manual_seed(0)
        source = calibrated(create_model(entry.model, **SMALL[entry.model]), (64, 64))
        path = tmp_path / entry.file_name
        torch.save(
            {"state_dict": convert(source, entry.format)}
            if entry.tag == "imagenet1k"
            else convert(source, entry.format),
            path,
        )
        return path

    monkeypatch.setattr(vision_gnn, "download", download)
    return asked


SMALL = {
    "vig_tiny": {"depth": 2, "channels": 16, "head_channels": 32},
    "pvig_tiny": {"depths": (1, 1, 1, 1), "channels": (16, 16, 16, 16), "head_channels": 32},
}


def reference(model):
    torch.manual_seed(0)
    return calibrated(create_model(model, **SMALL[model]), (64, 64))


@pytest.mark.parametrize("tag", ["", ".imagenet1k", ".imagenet1k_mmpretrain"])
@pytest.mark.parametrize("model", SMALL)
def test_pretrained(published, model, tag, caplog):
    images, want = torch.rand(2, 3, 64, 64), reference(model)
    made = timm.create_model(model + tag, pretrained=True, **SMALL[model]).eval()
    torch.testing.assert_close(made(images), want(images))
    assert "file" not in made.pretrained_cfg and "state_dict" not in made.pretrained_cfg
    assert published == [(f"{model}:{'imagenet1k:mmpretrain' if 'mm' in tag else 'imagenet1k'}", None)]
    features = timm.create_model(model + tag, pretrained=True, features_only=True, **SMALL[model]).eval()
    for one, other in zip(features(images)[::-1], want.forward_intermediates(images)[::-1], strict=False):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("channels", [1, 2, 7])
@pytest.mark.parametrize("model", SMALL)
def test_pretrained_for_other_channels_and_classes(published, model, channels, caplog, tmp_path):
    """The first convolution is adapted as timm does it, the classifier is new, and the log says so."""
    want = timm.models.adapt_input_conv(channels, reference(model).stem[0].weight.detach())
    with caplog.at_level(logging.WARNING):
        made = timm.create_model(
            model, pretrained=True, in_chans=channels, num_classes=5, cache_dir=tmp_path, **SMALL[model]
        )
    torch.testing.assert_close(made.stem[0].weight, want)
    assert "input channels" in caplog.text and "5: the classifier" in caplog.text
    assert torch.equal(made.head.fc1.weight, reference(model).head.fc1.weight)
    assert published[0][1] == tmp_path
    none = timm.create_model(model, pretrained=True, in_chans=channels, num_classes=0, **SMALL[model])
    torch.testing.assert_close(none.stem[0].weight, want)


def test_pretrained_at_another_size(published, caplog):
    with caplog.at_level(logging.WARNING):
        made = timm.create_model("pvig_tiny", pretrained=True, img_size=96, **SMALL["pvig_tiny"])
    assert made.pos_embed.weight.shape[2:] == (24, 24) and "resized from 56 x 56 to 24 x 24" in caplog.text


@pytest.mark.parametrize("source", ["file", "state_dict"])
def test_weights_of_one_s_own(name, source, published, tmp_path):
    own = calibrated(create_model(name, num_classes=3))
    torch.save(own.state_dict(), tmp_path / "own.pth")
    overlay = {"file": str(tmp_path / "own.pth")} if source == "file" else {"state_dict": dict(own.state_dict())}
    made = timm.create_model(
        name, pretrained=True, num_classes=3, pretrained_cfg_overlay={**overlay, "num_classes": 3}
    ).eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(made(images), own(images)) and not published


def test_no_weights_are_an_error(name):
    with pytest.raises(RuntimeError, match=f"No pretrained weights exist for {name}"):
        timm.create_model(name, pretrained=True)


def test_timm_reads_our_folders(name, tmp_path):
    own = calibrated(create_model(name, num_classes=3, in_channels=1, k=5, image_size=48, drop_path_rate=0.1), (48, 48))
    own.class_names = ["a", "b", "c"]
    own.save_pretrained(tmp_path)
    images = torch.rand(2, 1, 48, 48)
    made = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert made.config == own.config and torch.equal(made(images), own(images))
    assert made.pretrained_cfg["label_names"] == ["a", "b", "c"]
    assert tuple(made.pretrained_cfg["input_size"]) == (1, 48, 48)
    features = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, features_only=True).eval()
    torch.testing.assert_close(features(images)[-1], own.forward_intermediates(images)[-1])
    create_model(name, num_classes=3).save_pretrained(tmp_path)
    other = timm.create_model(f"local-dir:{tmp_path}", pretrained=True, in_chans=4, num_classes=2)
    assert other.stem[0].weight.shape[1] == 4 and other.num_classes == 2


def test_timm_writes_folders_that_timm_reads(name, tmp_path):
    model = calibrated(timm.create_model(name, num_classes=3, k=5, img_size=48), (48, 48))
    # timm before 1.0.31 does not record options by itself
    timm.models.save_for_hf(model, tmp_path, safe_serialization=True, model_args={"k": 5, "img_size": 48})
    assert json.loads((tmp_path / "config.json").read_text())["model_args"]["k"] == 5
    again = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.rand(2, 3, 48, 48)
    assert torch.equal(again(images), model(images))
