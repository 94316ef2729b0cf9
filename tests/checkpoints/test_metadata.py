import copy
import io
from functools import partial

import pytest
import torch
from torch import nn

from tests.weights.common import FORMATS, copied, same
from vig_pyg import DilatedKNN, VisionGNN, conv, pvig_micro, vig_micro, weights
from vig_pyg.checkpoints.metadata import KEY, describe, from_text, kept_text, to_text, with_text
from vig_pyg.graph import Reuse, WindowGraph


class OwnConv(conv.MaxRelativeConv):
    """An operator of one's own, with a name."""


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ("mr", "knn", "official")),
        ({"conv": conv.MaxRelativeConv, "graph": "knn"}, ("mr", "knn", "official")),
        ({"conv": partial(conv.EdgeConv, heads=2)}, ("edge", "knn", "official")),
        ({"conv": OwnConv}, (f"{__name__}.OwnConv", "knn", "official")),
        ({"conv": lambda i, o: OwnConv(i, o)}, (None, "knn", "official")),
        ({"graph": DilatedKNN}, ("mr", "knn", None)),
        ({"graph": partial(DilatedKNN, position="grid", engine="dense")}, ("mr", "knn", "grid")),
        (
            {"graph": partial(WindowGraph, window=4)},
            ("mr", "partial(vig_pyg.graph.window.WindowGraph, window=4)", "official"),
        ),
        (
            {"graph": Reuse(DilatedKNN, every=2)},
            ("mr", "Reuse(vig_pyg.graph.dilated_knn.DilatedKNN, every=2)", "official"),
        ),
        ({"graph": lambda k, dilation: DilatedKNN(k)}, ("mr", None, "official")),
        ({"graph": partial(WindowGraph, window=object())}, ("mr", None, "official")),
    ],
)
def test_callables_stand_as_names_that_are_the_same_everywhere(options, names):
    config = pvig_micro().config.override(options)
    values = describe(config)
    assert (values["conv"], values["graph"], values["position"]) == names
    assert from_text(to_text(config))["conv"] == names[0]


CARRIERS = {
    "state dict": lambda model: model.state_dict(),
    "deepcopy": lambda model: copy.deepcopy(model.state_dict()),
    "copied model": lambda model: copy.deepcopy(model).state_dict(),
    "DataParallel": lambda model: nn.DataParallel(model).state_dict(),
    "average": lambda model: torch.optim.swa_utils.AveragedModel(model).state_dict(),
    "compiled": lambda model: torch.compile(model).state_dict(),
    "wrapped": lambda model: {"state_dict": nn.DataParallel(model).state_dict(), "epoch": 3},
    "two prefixes": lambda model: nn.DataParallel(nn.DataParallel(model)).state_dict(),
}


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_the_configuration_travels_with_the_weights(make, carrier, saved, tmp_path):
    model = make(conv="edge")
    state = CARRIERS[carrier](model)
    if saved:
        torch.save(state, tmp_path / "weights.pth")
        state = weights.read_state(tmp_path / "weights.pth")
    assert from_text(kept_text(weights.unwrap_state_dict(state))) == from_text(to_text(model.config))
    other = make(conv="mr")
    before = copied(other)
    with pytest.raises(ValueError, match=r"other options: conv='edge' in the weights, 'mr' here\. The shapes match"):
        weights.load_weights(other, state)
    assert same(copied(other), before)
    report = weights.load_weights(make(conv="edge"), state)
    assert report.notes == report.not_compared == () and "\n" not in str(report)


@pytest.mark.parametrize("format", FORMATS)
def test_the_configuration_goes_with_every_format(make, format):
    state = weights.convert(weights.convert(make(conv="edge"), format), "native")
    assert from_text(kept_text(state))["conv"] == "edge"
    assert kept_text(weights.convert(dict(state), format)) is None


def test_files_of_safetensors_say_it_too(make, tmp_path):
    make(conv="edge").save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    assert from_text(kept_text(weights.read_state(path)))["conv"] == "edge"
    with pytest.raises(ValueError, match="conv='edge' in the weights, 'mr' here"):
        weights.load_weights(make(), path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"edge"', '"mr"'))
    with pytest.raises(ValueError, match="conv='edge' in the weights, 'mr' here"):
        VisionGNN.from_pretrained(tmp_path)
    note = "The weights were trained with conv='edge', but this model has 'mr'"
    assert note in str(weights.load_weights(make(), path, on_mismatch="note"))
    assert VisionGNN.from_pretrained(tmp_path, conv="mr").config.conv == "mr"


def test_a_part_of_a_larger_model_keeps_its_own():
    body = nn.Sequential(vig_micro(conv="gin"), nn.Linear(1, 1))
    assert from_text(kept_text(body.state_dict(), "0."))["conv"] == "gin"
    body.state_dict(destination={})  # a plain dict of the caller's has no place for it


@pytest.mark.parametrize("text", [3, None, "", "no", "[1]", "[" * 20000])
def test_what_is_no_configuration_is_refused(text):
    with pytest.raises(ValueError, match=rf"The entry '{KEY}' of these weights is not a configuration"):
        from_text(text)


def test_hostile_metadata_does_not_crash():
    state = with_text(vig_micro().state_dict(), None)
    assert kept_text(state) is None
    for entry in (3, {"": 3}, {"": {KEY: None}}, None):
        state._metadata = entry
        assert kept_text(state) is None
    buffer = io.BytesIO()
    torch.save(with_text(state, "{"), buffer)
    buffer.seek(0)
    with pytest.raises(ValueError, match="is not a configuration"):
        weights.load_weights(vig_micro(), torch.load(buffer))
