"""The later families with the commands and methods that every model has."""

import pytest
import torch
from PIL import Image

from vig_pyg import VisionGNN, create_model
from vig_pyg.cli import main

SMALL = {"channels": (8, 12, 16, 20), "head_channels": 12, "num_classes": 3, "image_size": 64}
HYBRID = {**SMALL, "local_depths": (1, 1, 1, 1), "graph_depths": (0, 1, 1, 1)}
FAMILIES = {
    "mobilevig_tiny": HYBRID,
    "greedyvig_small": HYBRID,
    "mobilevigv2_tiny": HYBRID,
    "wignet_tiny": {**SMALL, "depths": (1, 1, 1, 1), "window": 4},
}


def made(name, **options):
    torch.manual_seed(0)
    return create_model(name, **{**FAMILIES[name], **options}).eval()


@pytest.mark.parametrize("ending", ["png", "html"])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_graphs_of_a_saved_network_are_drawn(name, ending, tmp_path):
    made(name).save_pretrained(tmp_path / "saved")
    Image.effect_noise((70, 50), 90).convert("RGB").save(tmp_path / "a.png")
    out = tmp_path / f"graph.{ending}"
    assert main(["graph", str(tmp_path / "saved"), str(tmp_path / "a.png"), "--out", str(out)]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_of_stages_and_a_saved_network(name, tmp_path):
    model, images = made(name), torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        maps = model.forward_intermediates(images)
        last = model.forward_intermediates(images, [-1, 1])
        logits = model(images)
    sides = [(8, 16, 24), (12, 8, 12), (16, 4, 6), (20, 2, 3)]
    assert [tuple(one.shape[1:]) for one in maps] == sides
    assert torch.equal(last[0], maps[3]) and torch.equal(last[1], maps[1])
    torch.testing.assert_close(model.head(maps[-1].mean((2, 3))), logits)
    model.save_pretrained(tmp_path / "saved")
    again = VisionGNN.from_pretrained(tmp_path / "saved", map_location=torch.get_default_device())
    assert type(again) is type(model) and again.config == model.config
    with torch.no_grad():
        assert torch.equal(again(images), logits)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *(
            (name, option)
            for name in list(FAMILIES)[:3]
            for option in ("graph", "conv", "position_kernel", "ffn_ratio")
        ),
        *(("wignet_tiny", option) for option in ("graph", "conv", "window", "ffn_ratio", "k")),
    ],
)
def test_an_option_changes_the_logits_or_the_layers(name, option):
    values = {"graph": "grid", "conv": "gin", "position_kernel": 3, "ffn_ratio": 2, "window": 2, "k": 3}
    if name == "wignet_tiny" and option == "graph":
        other = made(name, graph="knn", window=8)
    else:
        other = made(name, **{option: values[option]})
    model, images = made(name), torch.rand(1, 3, 64, 64)
    if other.state_dict().keys() == model.state_dict().keys():
        shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
        if all(tensor.shape == shapes[key] for key, tensor in other.state_dict().items()):
            other.load_state_dict(model.state_dict())
            for part in (*model.modules(), *other.modules()):  # the factors are small at the start
                if hasattr(part, "gamma"):
                    torch.nn.init.ones_(part.gamma)
            with torch.no_grad():
                assert not torch.allclose(other(images), model(images), rtol=1e-5, atol=0)
            return
    assert other.config != model.config
