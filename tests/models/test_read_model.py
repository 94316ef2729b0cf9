import logging

import pytest
import torch
from timm.models import adapt_input_conv

from tests.common import calibrated
from tests.weights.common import same
from vig_pyg import VisionGNN, pvig_micro, weights
from vig_pyg.classification.load import load_classifier
from vig_pyg.models.read_model import read_model

DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.fixture
def saved(make, tmp_path):
    def save(model):
        model.save_pretrained(tmp_path)
        return tmp_path

    return save


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_is_kept(make, saved, dtype):
    model = calibrated(make(num_classes=3)).to(dtype)
    again = VisionGNN.from_pretrained(saved(model), map_location=torch.get_default_device())
    assert again.pos_embed.weight.dtype == dtype and same(again.state_dict(), model.state_dict())
    if dtype != torch.float16:
        images = torch.rand(2, 3, 32, 32, dtype=dtype)
        assert torch.equal(again(images), model(images))
    other = VisionGNN.from_pretrained(saved(model), num_classes=2)
    assert {p.dtype for p in other.parameters()} == {dtype}


def test_several_dtypes_are_kept(make, saved):
    model = make(num_classes=3).bfloat16()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.float()
    again = VisionGNN.from_pretrained(saved(model), map_location=torch.get_default_device())
    assert same(again.state_dict(), model.state_dict())


def test_a_classifier_of_the_command_line_takes_images_of_any_saved_dtype(make, saved):
    folder = saved(calibrated(make(num_classes=3)).bfloat16())
    found = load_classifier(folder)(torch.rand(3, 32, 32))
    assert len(found.names) == 3


@pytest.mark.parametrize("device", ["meta", torch.device("cpu"), None])
def test_the_device(make, saved, device):
    """By default the CPU, whichever device is the default one of new tensors."""
    options = {} if device is None else {"map_location": device}
    model = VisionGNN.from_pretrained(saved(make(num_classes=3)), **options)
    assert {p.device.type for p in model.parameters()} == {str(device or "cpu")}


def test_strict_and_lenient(saved, caplog):
    model = pvig_micro(num_classes=3)
    folder = saved(model)
    path = folder / "model.safetensors"
    state = model.state_dict()
    changed = {
        **{key: tensor for key, tensor in state.items() if key != "head.fc1.bias"},
        "stem.1.weight": torch.ones(2),
        "something.else": torch.ones(1),
    }
    from vig_pyg.checkpoints.metadata import to_safetensors

    path.write_bytes(to_safetensors(changed))
    with pytest.raises(ValueError, match="do not fit this PyramidViG"):
        VisionGNN.from_pretrained(folder)
    with caplog.at_level(logging.WARNING):
        found = VisionGNN.from_pretrained(folder, strict=False, map_location=torch.get_default_device())
    assert "Tensors that do not fit were left out: something.else; stem.1.weight." in caplog.text
    assert "were not loaded and stay as they were: head.fc1.bias; stem.1.weight." in caplog.text
    rest = state.keys() - {"head.fc1.bias", "stem.1.weight"}
    assert all(torch.equal(found.state_dict()[key], state[key]) for key in rest)


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_other_channels_where_asked(make, saved, channels, caplog):
    model = make(num_classes=3)
    folder = saved(model)
    with caplog.at_level(logging.WARNING):
        found = read_model(VisionGNN, folder, in_channels=channels, map_location=torch.get_default_device())
    torch.testing.assert_close(found.stem[0].weight, adapt_input_conv(channels, model.stem[0].weight.detach()))
    assert f"adapted from 3 to {channels} input channels: its weights were" in caplog.text
    assert found(torch.rand(1, channels, 32, 32)).shape == (1, 3)
    report = weights.load_weights(
        make(num_classes=3, in_channels=channels), model.state_dict(), overridden=["in_channels"]
    )
    assert any("input channels" in note for note in report.notes)
    with pytest.raises(ValueError, match=r"stem\.0\.weight has shape"):
        weights.load_weights(make(num_classes=3, in_channels=channels), model.state_dict())


def test_gray_images_give_what_equal_channels_gave(make, saved):
    model = calibrated(make(num_classes=3).double())
    gray = VisionGNN.from_pretrained(saved(model), in_channels=1, map_location=torch.get_default_device())
    image = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(gray(image), model(image.expand(-1, 3, -1, -1)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_new_last_layer_is_said_in_the_log(make, saved, caplog, count):
    """As transformers does; with the number of classes of the file nothing is new."""
    folder = saved(make(num_classes=3))
    with caplog.at_level(logging.WARNING):
        found = VisionGNN.from_pretrained(folder, num_classes=count)
    said = [record for record in caplog.records if "head.fc2" in record.getMessage()]
    assert len(said) == (count != 3) and found.config.num_classes == count
    for record in said:
        assert record.levelno == logging.WARNING
        assert f"The file has 3 classes, the model {count}" in record.getMessage()
