import random
import re
import sys

import pytest

from vig_pyg import list_convs, list_graphs
from vig_pyg.classification.ablation import Variant, changed, crossed
from vig_pyg.conv import CONVS


def test_options_are_changed():
    options = {"num_classes": 3, "k": 9, "image_size": 16}
    network = changed("few", "three neighbors", k=3, conv="gin").make("vig_micro", options)
    assert (network.config.k, network.config.conv, network.config.num_classes) == (3, "gin", 3)
    assert options["k"] == 9


@pytest.mark.parametrize("seed", range(10))
def test_pairs_are_crossed_and_the_first_is_the_baseline(seed):
    draw = random.Random(seed)
    convs = draw.sample(list_convs(), draw.randint(0, 3))
    graphs = draw.sample(list_graphs(), draw.randint(0, 3))
    found = crossed("vig_micro", {}, convs, graphs)
    names = [variant.name for variant in found]
    assert len(set(names)) == len(names)
    made = [variant.make("vig_micro", {"num_classes": 2}).config for variant in found[:3]]
    if len(convs) + len(graphs) > 1:
        pairs = [(c, g) for c in convs or ["mr"] for g in graphs or ["knn"]]
        assert len(found) == len(pairs)
        assert [(config.conv, config.graph) for config in made] == pairs[:3]
    else:
        assert made[0].conv == "mr" and (made[0].graph or "knn") == "knn"


@pytest.mark.parametrize(
    ("options", "convs", "graphs", "names"),
    [
        ({}, [], [], ["mr"]),
        ({}, ["mr"], [], ["mr"]),
        ({}, ["edge", "edge"], [], ["edge"]),
        ({}, ["gin"], [], ["mr", "gin"]),
        ({"conv": "edge"}, ["gin"], [], ["edge", "gin"]),
        ({}, [], ["grid"], ["knn", "grid"]),
        ({}, ["gin"], ["grid"], ["gin"]),
        ({}, ["gin", "mr"], ["grid"], ["gin", "mr"]),
        ({"graph": "axial"}, [], ["grid", "axial"], ["grid", "axial"]),
    ],
)
def test_names(options, convs, graphs, names):
    assert [variant.name for variant in crossed("vig_micro", options, convs, graphs)] == names


def test_a_graph_for_each_stage():
    found = crossed("pvig_micro", {}, [], ["knn", ["axial", "axial", "window", "knn"], ("grid",) * 4])
    assert [variant.name for variant in found] == ["knn", "[axial, axial, window, knn]", "[grid, grid, grid, grid]"]
    assert found[1].make("pvig_micro", {}).config.graph == ("axial", "axial", "window", "knn")
    with pytest.raises(ValueError, match="Unknown graph 'axe'"):
        crossed("pvig_micro", {}, [], [["knn", "axe", "knn", "knn"]])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"Unknown conv 'mrr'.*Did you mean 'mr'"):
        crossed("vig_micro", {}, ["mrr"], [])
    with pytest.raises(ValueError, match="Unknown graph 'axe'"):
        crossed("vig_micro", {}, [], ["axe"])
    with pytest.raises(ValueError, match="Unknown model 'vig_huge'"):
        crossed("vig_huge", {}, ["mr"], [])


def test_file_names_are_safe_and_unique():
    names = ["mr", "k-3", "conv+fc", "mr, knn", "mr. knn", "a:B", "a:b", "../x", "猫", "犬", "$x$", "x" * 300, ""]
    found = [Variant(name, "", lambda model, options: None).file_name for name in names]
    assert found[:3] == names[:3]
    assert len({name.lower() for name in found}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9_+.-]{1,100}", name) and not name.startswith("..") for name in found), found


def test_own_code_has_a_fingerprint(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from torch import nn\nclass Own(nn.Module):\n    def __init__(self, i, o):\n        super().__init__()\n"
    codes = []
    for version in range(2):
        (tmp_path / "ablated_ops.py").write_text(text + "\n" * version)
        name = CONVS.import_name("ablated_ops:Own")
        plain, own = crossed("vig_micro", {}, ["mr", name], [])
        codes.append(own.code)
        assert plain.code == ""
        CONVS.remove(name)
        sys.modules.pop("ablated_ops")
    assert len(set(codes)) == 2 and all(codes)
