import json
import random

import pytest
import torch

from vig_pyg import DilatedKNN, GreedyViG, MobileViG, MobileViGv2, PyramidViG, ViG, VisionGNN, WiGNet, load
from vig_pyg.checkpoints.compare import compare
from vig_pyg.checkpoints.metadata import describe
from vig_pyg.config import PyramidViGConfig, ViGConfig
from vig_pyg.config_schema import check_size, model_options
from vig_pyg.family_config import GREEDYVIG_VARIANTS
from vig_pyg.graph import (
    GRAPHS,
    AxialGraph,
    GridGraph,
    Reuse,
    WindowGraph,
    has_stages,
    list_graphs,
    resolve_graphs,
    stage_graphs,
)
from vig_pyg.testing import assert_batch_independence

SMALL = {"head_channels": 16, "num_classes": 3, "image_size": 64}
HYBRID = {"channels": (16, 16, 24, 32), "local_depths": (1, 0, 1, 0), "graph_depths": (1, 1, 2, 1), **SMALL}
FAMILIES = {
    "pvig": lambda **given: PyramidViG("micro", num_classes=3, image_size=64, **given),
    "wignet": lambda **given: WiGNet("tiny", channels=(16, 16, 24, 32), depths=(1, 1, 2, 1), **SMALL, **given),
    "greedyvig": lambda **given: GreedyViG("small", **HYBRID, **given),
    "mobilevig": lambda **given: MobileViG("tiny", **HYBRID, **given),
    "mobilevigv2": lambda **given: MobileViGv2("tiny", **HYBRID, **given),
}
MIXED = ["axial", "cross", "window", "knn"]
DEPTHS = (1, 1, 2, 1)


def drawn(seed):
    """One of the registered names for each of four stages, from a seed."""
    choose = random.Random(seed)
    return [choose.choice(list_graphs()) for _ in range(4)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_each_stage_builds_its_own_graph_and_the_configuration_returns(family, seed, tmp_path):
    graphs = MIXED if seed == 0 else drawn(seed)
    model = FAMILIES[family](graph=graphs).eval()
    assert model.config.graph == tuple(graphs) and hash(model.config)
    expected = [name for name, depth in zip(graphs, DEPTHS, strict=True) for _ in range(depth)]
    found = [grapher.graph for grapher in model.graphers()]
    assert [type(one) for one in found] == [type(GRAPHS[name](3, 1)) for name in expected]
    images = torch.rand(2, 3, 64, 64)
    assert len(model.graphs(images)) == sum(DEPTHS)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model"]["graph"] == graphs
    again = [one.to(images.device) for one in (VisionGNN.from_pretrained(tmp_path), load(str(tmp_path)).model)]
    torch.manual_seed(0)
    with torch.no_grad():
        logits = [one(images) for one in (model, *again)]
    for one, result in zip(again, logits[1:], strict=True):
        assert one.config == model.config
        assert "random" in graphs or torch.equal(result, logits[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_images_of_different_sizes_equal_single_ones(family):
    model = FAMILIES[family](graph=MIXED).double()
    images = [torch.rand(3, 64, 96), torch.rand(3, 32, 64), torch.rand(3, 64, 96)]
    assert_batch_independence(model, [image.double() for image in images])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fused_model_has_the_same_logits(family):
    model = FAMILIES[family](graph=["axial", "cross", "grid", "log"]).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.fuse()(images), model(images), atol=1e-4, rtol=1e-4)


def test_timm_and_detectors_take_the_list():
    timm = pytest.importorskip("timm")
    import vig_pyg.timm  # noqa: F401  (registers the models)
    from vig_pyg.detection import retinanet_pvig

    made = timm.create_model("pvig_micro", graph=MIXED, num_classes=3)
    assert made.config.graph == tuple(MIXED)
    made = retinanet_pvig("micro", num_classes=2, graph=MIXED)
    assert made.backbone.body.config.graph == tuple(MIXED)


def test_one_graph_for_all_is_that_graph_for_each():
    torch.manual_seed(0)
    one = PyramidViG("micro", graph="axial", num_classes=3).eval()
    each = PyramidViG("micro", graph=["axial"] * 4, num_classes=3).eval()
    each.load_state_dict(one.state_dict())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(one(images), each(images))
    assert not compare(describe(one.config), each.config).differences
    assert compare(describe(one.config), PyramidViG("micro", graph=["axial"] * 3 + ["knn"]).config).differences


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 0])
@pytest.mark.parametrize("family", FAMILIES)
def test_another_number_of_entries_is_refused(family, count):
    with pytest.raises(ValueError, match=rf"graph has {count} entries, .* but the model has 4 stages: pass one"):
        FAMILIES[family](graph=["axial"] * count)


def test_an_isotropic_model_has_one_stage():
    assert ViG("micro", graph=["axial"]).graphers()[3].graph.stride == 2
    with pytest.raises(ValueError, match=r"graph has 2 entries, .* but the model has 1 stage: pass one"):
        ViG("micro", graph=("axial", "knn"))


def test_an_unknown_name_or_kind_in_a_list_is_refused():
    with pytest.raises(ValueError, match="Unknown graph 'axia'"):
        PyramidViG("micro", graph=["axial", "axia", "knn", "knn"])
    with pytest.raises(TypeError, match="graph must be a name or a callable"):
        PyramidViG("micro", graph=["axial", 3, "knn", "knn"])


def test_options_of_the_search_belong_to_the_stages_that_search():
    model = PyramidViG("micro", graph=MIXED, position="grid", knn_engine="dense")
    assert [getattr(one.graph, "engine", None) for one in model.graphers()] == [None] * 4 + ["dense"]
    with pytest.raises(ValueError, match="position='grid' is an option of DilatedKNN"):
        PyramidViG("micro", graph=["axial"] * 4, position="grid")


def test_options_of_windows_belong_to_the_stages_with_windows():
    model = WiGNet("tiny", depths=(2, 2, 2, 2), graph=["axial", "window", "knn", "window"], window=7, num_classes=0)
    windows = [getattr(one.graph, "window", None) for one in model.graphers()]
    assert windows == [None, None, 7, 7, None, None, 7, 7]
    assert [one.graph.shift for one in model.graphers()[2:4]] == [0, 3]
    with pytest.raises(ValueError, match="window: these options of graph='window' have no effect"):
        WiGNet("tiny", graph=["axial"] * 4, window=7)
    assert WiGNet("tiny", graph=WindowGraph, num_classes=0).config.graph == "window"  # the name of the class


def test_reuse_counts_inside_each_stage():
    factories = resolve_graphs([Reuse(DilatedKNN, every=2), "grid", Reuse(DilatedKNN, every=2)], (3, 1, 2))
    built = [make(9, 1) for make in factories]
    assert [getattr(one, "builds", None) for one in built] == [True, False, True, None, True, False]
    shared = [make(9, 1).builds for make in resolve_graphs(Reuse(DilatedKNN, every=2), (1, 2))]
    assert shared == [True, False, True]


def test_code_in_a_list_is_not_saved(tmp_path):
    model = PyramidViG("micro", graph=["axial", lambda k, d: GridGraph(), "knn", "knn"])
    with pytest.raises(ValueError, match=r"is code, which config\.json cannot contain"):
        model.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())
    assert describe(model.config)["graph"] is None  # a lambda has no name


def test_names_that_would_not_tell_two_searches_apart_are_refused(tmp_path):
    model = PyramidViG("micro", graph=[DilatedKNN, "knn", "axial", "axial"])
    with pytest.raises(ValueError, match="have the same name 'knn'"):
        model.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())
    PyramidViG("micro", graph=[DilatedKNN, "knn", "axial", "axial"], position=None).save_pretrained(tmp_path)


@pytest.mark.parametrize("value", [["axial"] * 3, ["axial", "my:Graph", "knn", "knn"], ["axial"] * 9, [3] * 4, []])
def test_a_damaged_list_in_a_file_is_refused(value, tmp_path):
    PyramidViG("micro", graph=MIXED).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    content["model"]["graph"] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"config\.json.*graph"):
        PyramidViG.from_pretrained(tmp_path)


def test_the_bound_of_edges_knows_the_grid_of_each_stage():
    options = model_options(PyramidViGConfig)({"graph": ["axial", "axial", "grid", "complete"]}, "the file")
    config = PyramidViG("micro").config.override({**options, "patch_size": 4, "image_size": 1024})
    check_size(config, 1024, "the file")
    with pytest.raises(ValueError, match="65536 patches with 65536 neighbors"):
        check_size(config.override({"graph": ["complete", *["axial"] * 3]}), 1024, "the file")


def test_sequences():
    assert stage_graphs(None, 3) == (None,) * 3
    assert has_stages(()) and not has_stages("axial") and not has_stages(AxialGraph)
    assert ViGConfig(depth=3, channels=16).stage_depths == (3,)
    assert GREEDYVIG_VARIANTS["small"].stage_depths == (2, 2, 2, 2)
