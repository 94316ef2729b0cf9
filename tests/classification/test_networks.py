from functools import partial

import pytest
import torch
from torch import nn
from torch_geometric.nn import GATv2Conv

import vig_pyg
from tests.classification.job import NETWORK, few_digits, fit
from vig_pyg.classification import load_config, make_model
from vig_pyg.conv import CONVS
from vig_pyg.graph import AxialGraph, DilatedKNN, GridGraph, Reuse


class Mean(nn.Linear):
    """An operator of one's own, without an exchange."""

    def forward(self, x, edge_index):
        return super().forward(x)


def own_graph(k, dilation):
    return GridGraph()


def test_a_network_fits_its_data_and_has_the_weights_of_its_seed():
    data = few_digits()
    first, again, other = (make_model("vig_micro", NETWORK, data, seed=seed) for seed in (0, 0, 1))
    assert (first.config.num_classes, first.config.in_channels, first.config.image_size) == (10, 1, 16)
    assert all(torch.equal(p, q) for p, q in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.head.fc2.weight, other.head.fc2.weight)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"depths": (1, 2)}, TypeError, "no option"),
        ({"k": "x"}, ValueError, "k must be"),
        ({"depth": 10**9}, ValueError, "depth"),
    ],
)
def test_options_are_checked_before_anything_is_built(options, error, said):
    with pytest.raises(error, match=said):
        make_model("vig_micro", options, few_digits(), seed=0)


def test_more_neighbors_than_patches_are_told(caplog):
    make_model("vig_micro", {**NETWORK, "k": 20}, few_digits(), seed=0)
    assert "fewer than the k=20 neighbors" in caplog.text
    make_model("vig_micro", {**NETWORK, "patch_size": 16}, few_digits(), seed=0)
    assert "has 1 patch, fewer than" in caplog.text


@pytest.mark.parametrize("conv", [Mean, lambda i, o: GATv2Conv(i, o), partial(Mean, bias=False), "edge"])
@pytest.mark.parametrize("graph", [own_graph, Reuse(DilatedKNN, every=2), lambda k, dilation: AxialGraph(), "grid"])
def test_operators_and_graphs_of_ones_own_are_options(conv, graph):
    model = make_model("vig_micro", {**NETWORK, "conv": conv, "graph": graph}, few_digits(), seed=0)
    same = vig_pyg.ViG("micro", **NETWORK, conv=conv, graph=graph, num_classes=10, in_channels=1, image_size=16)
    assert repr(model) == repr(same)  # the same parts


def test_the_graphs_of_stages_may_be_of_ones_own():
    options = {"channels": (16, 16, 16, 16), "depths": (1, 1, 1, 1), "graph": ["knn", own_graph, "axial", None]}
    model = make_model("pvig_micro", options, few_digits(image_size=32), seed=0)
    kinds = [type(grapher.graph) for grapher in model.graphers()]
    assert kinds == [DilatedKNN, GridGraph, AxialGraph, DilatedKNN]


@pytest.mark.parametrize("option", [{"conv": 3}, {"conv": [Mean]}, {"graph": 3}, {"graph": GridGraph()}])
def test_what_is_no_operator_or_graph_is_refused(option):
    with pytest.raises(TypeError, match=f"{next(iter(option))} must be a name or a callable"):
        make_model("vig_micro", {**NETWORK, **option}, few_digits(), seed=0)


def test_other_options_beside_an_operator_of_ones_own_are_checked():
    with pytest.raises(ValueError, match="depth"):
        make_model("vig_micro", {"conv": Mean, "depth": 10**9}, few_digits(), seed=0)


def test_a_run_with_an_operator_of_ones_own_is_loaded_after_its_registration(tmp_path):
    data, options = few_digits(train=32, val=10, batch_size=32), {**NETWORK, "conv": Mean}
    recipe = load_config("digits", ("test", {"epochs": 1}))
    fit(data, tmp_path / "run", model="vig_micro", options=options, recipe=recipe, progress=False)
    path = f"{__name__}:Mean"
    with pytest.raises(ValueError, match="in Python, run before you load the model: import") as error:
        vig_pyg.load(tmp_path / "run")
    assert f"vig_pyg.register_conv({path!r})({__name__}.Mean)" in str(error.value)
    vig_pyg.register_conv(path)(Mean)
    try:
        assert isinstance(vig_pyg.load(tmp_path / "run").model.graphers()[0].conv, Mean)
    finally:
        CONVS.remove(path)


@pytest.mark.parametrize("kind", ["conv", "graph"])
def test_an_import_path_is_told_how_python_registers_it(kind):
    with pytest.raises(ValueError, match="Unknown") as error:
        make_model("vig_micro", {**NETWORK, kind: "there.is_none:Mine"}, few_digits(), seed=0)
    line = f"import there.is_none, vig_pyg; vig_pyg.register_{kind}('there.is_none:Mine')(there.is_none.Mine)"
    assert str(error.value).endswith(f"In Python, register it first: {line}")
