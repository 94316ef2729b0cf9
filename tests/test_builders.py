import pytest
import torch

import vig_pyg
from tests.common import empty
from vig_pyg import PyramidViG, ViG, create_model, list_models

#: Millions of trained parameters.
PARAMETERS = {
    "vig_tiny": 7.185,
    "vig_small": 22.748,
    "vig_base": 86.842,
    "pvig_tiny": 10.714,
    "pvig_small": 27.252,
    "pvig_medium": 49.526,
    "pvig_base": 92.980,
    "mobilevig_tiny": 4.758,  # with one last layer
    "mobilevig_small": 6.764,
    "mobilevig_medium": 13.307,
    "mobilevig_base": 26.100,
    "greedyvig_small": 11.214,
    "greedyvig_medium": 21.159,
    "greedyvig_base": 30.136,
    "mobilevigv2_tiny": 5.183,
    "mobilevigv2_small": 7.255,
    "mobilevigv2_medium": 14.959,
    "mobilevigv2_base": 27.110,
    "wignet_tiny": 10.760,
    "wignet_small": 27.329,
    "wignet_medium": 49.618,
}
FAMILIES = {
    "vig": vig_pyg.ViG,
    "pvig": vig_pyg.PyramidViG,
    "mobilevig": vig_pyg.MobileViG,
    "greedyvig": vig_pyg.GreedyViG,
    "mobilevigv2": vig_pyg.MobileViGv2,
    "wignet": vig_pyg.WiGNet,
}


def test_list_models():
    assert set(list_models()) == {*PARAMETERS, "vig_micro", "pvig_micro"}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    with torch.device("meta"):
        model = create_model(name)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 3) == PARAMETERS[name]
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("name", list_models())
def test_builders_are_the_models(name):
    with torch.device("meta"):
        built, created = getattr(vig_pyg, name)(num_classes=7, k=3), create_model(name, num_classes=7, k=3)
    assert type(built) is type(created) is FAMILIES[name.split("_")[0]]
    assert built.config == created.config
    assert (built.config.num_classes, built.config.k) == (7, 3)


@pytest.mark.parametrize("name", list_models())
def test_feature_info_of_every_model(name):
    model = empty(create_model, name, num_classes=0).eval()
    for tensor in model.state_dict().values():
        tensor.fill_(0.01)
    maps = model.forward_intermediates(torch.rand(1, 3, 64, 96))
    want = [(1, i["num_chs"], -(-64 // i["reduction"]), -(-96 // i["reduction"])) for i in model.feature_info]
    assert [tuple(m.shape) for m in maps] == want
    assert model.num_features == want[-1][1]
    for info in model.feature_info:
        model.get_submodule(info["module"])


def test_an_unknown_name_is_told_the_nearest_ones():
    told = r"Unknown model 'vig_huge'\. Did you mean 'vig_base'\? Choose one of vig_micro, vig_tiny"
    with pytest.raises(ValueError, match=told):
        create_model("vig_huge")


@pytest.mark.parametrize("make", [create_model, lambda name, **o: getattr(vig_pyg, name)(**o)])
def test_an_unknown_keyword_is_a_type_error(make):
    with pytest.raises(TypeError, match="has no option 'pretraind': choose from"):
        make("vig_tiny", pretraind=True)


def test_names_by_pattern():
    assert list_models("vig*") == ["vig_micro", "vig_tiny", "vig_small", "vig_base"]
    assert list_models("*pvig_base") == ["pvig_base"] and list_models("resnet*") == []


def test_a_variant_of_one_s_own_is_one_line():
    vig_pyg.register_model("vig_narrow", vig_pyg.ViGConfig(depth=2, channels=16, image_size=32, patch_size=4))
    try:
        model = create_model("vig_narrow", num_classes=3)
        assert type(model) is ViG and model.config.channels == 16 and list_models()[-1] == "vig_narrow"
        assert model(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    finally:
        vig_pyg.config.MODELS.remove("vig_narrow")
    with pytest.raises(TypeError, match="A model is registered by its configuration"):
        vig_pyg.register_model("vig_none", ViG)


def test_a_family_of_one_s_own_is_found_by_its_configuration():
    class Config(vig_pyg.ViGConfig):
        """Another family's."""

    class Family(ViG):
        config_class = Config

    assert type(create_model(Config(depth=1, channels=16, head_channels=8))) is Family
    for wrong in (3, None, ViG("micro")):  # whose own text would be the whole network
        with pytest.raises(TypeError, match=rf"name of a model, .*ViGConfig\(\.\.\.\), got {type(wrong).__name__}\.$"):
            create_model(wrong)
    with pytest.raises(TypeError, match="No subclass of VisionGNN has config_class = Lonely"):
        create_model(type("Lonely", (vig_pyg.ViGConfig,), {})(depth=1, channels=16))


@pytest.mark.parametrize("family", [ViG, PyramidViG])
def test_constructors_download_nothing(family):
    with pytest.raises(TypeError, match=r"a constructor downloads nothing: vig_pyg\.create_model"):
        family("tiny", weights="imagenet1k")
