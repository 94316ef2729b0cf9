"""Flags of the user's own code, in the next commands, the advice to resume, and the model card."""

import argparse
import shlex
import sys
import types

import pytest
from torch import nn

from tests.classification.job import few_digits
from vig_pyg import register_conv, vig_micro
from vig_pyg._own_flags import own_flags
from vig_pyg.classification import load_config
from vig_pyg.cli._options import import_own_code, in_shell
from vig_pyg.cli._own_code import import_own
from vig_pyg.cli._train_flags import stopped
from vig_pyg.conv import CONVS, MaxRelativeConv
from vig_pyg.engine.card import _network_options, model_card
from vig_pyg.engine.metrics import MetricsHistory
from vig_pyg.graph import GRAPHS, DilatedKNN
from vig_pyg.segmentation import semantic_fpn_pvig

KEPT = [
    {},
    {"conv": "edge", "graph": "axial"},
    {"conv": None, "graph": None},
    {"graph": ["knn", None, "axial", "window"]},
    {"conv": MaxRelativeConv, "graph": DilatedKNN},
    {"conv": "unknown"},
    {"conv": lambda i, o: nn.Linear(i, o)},
]


@pytest.fixture
def module(monkeypatch):
    """An importable module with an operator and a graph of its own."""
    made = types.ModuleType("flag_ops")

    class Pair(MaxRelativeConv):
        pass

    def ring(k, dilation):
        return DilatedKNN(k)

    for one, name in ((Pair, "Pair"), (ring, "ring")):
        one.__module__, one.__qualname__ = "flag_ops", name
        setattr(made, name, one)
    monkeypatch.setitem(sys.modules, "flag_ops", made)
    before = [(registry, set(registry)) for registry in (CONVS, GRAPHS)]
    yield made
    for registry, names in before:
        for name in set(registry) - names:
            registry.remove(name)


@pytest.mark.parametrize("options", KEPT)
def test_parts_of_the_library_need_no_flag(options):
    assert own_flags(options) == []


@pytest.mark.parametrize(
    ("graph", "shown"),
    [
        ("flag_ops:ring", "flag_ops:ring"),
        (["flag_ops:ring", "knn", "axial", "flag_ops:ring"], "[flag_ops:ring, knn, axial, flag_ops:ring]"),
        ("[flag_ops:ring, knn]", "[flag_ops:ring, knn]"),
        ('["flag_ops:ring",knn]', "[flag_ops:ring, knn]"),
        ((None, "flag_ops:ring"), "[knn, flag_ops:ring]"),
    ],
    ids=str,
)
def test_the_flags_are_read_by_the_commands(module, graph, shown):
    words = own_flags({"conv": "flag_ops:Pair", "graph": graph})
    assert words == ["--conv", "flag_ops:Pair", "--graph", shown]
    again = shlex.split(in_shell(*words))
    import_own_code(argparse.Namespace(conv=again[1], graph=again[3]))
    assert CONVS["flag_ops:Pair"] is module.Pair
    assert GRAPHS["flag_ops:ring"] is module.ring


def test_objects_and_registered_names_are_named_by_their_place(module):
    register_conv("pair")(module.Pair)
    for conv in ("pair", module.Pair, "flag_ops:Pair"):
        assert own_flags({"conv": conv}) == ["--conv", "flag_ops:Pair"]
    module.Pair.__module__ = "__main__"  # no other process can import it
    assert own_flags({"conv": "pair"}) == []


def test_the_card_has_the_flags(module, tmp_path):
    import_own({"options": {"conv": "flag_ops:Pair", "graph": "flag_ops:ring"}})
    model = vig_micro(num_classes=10, conv="flag_ops:Pair", graph="flag_ops:ring")
    history = MetricsHistory("val_accuracy")
    history.rows = [{"epoch": 1, "val_accuracy": 0.75, "val_loss": 0.5}]
    card = model_card(tmp_path / "a run", model, few_digits(), history, load_config("digits"))
    folder = shlex.quote(str(tmp_path / "a run"))
    assert f"vig-pyg predict {folder} some.jpg --conv flag_ops:Pair --graph flag_ops:ring\n" in card


def test_the_card_of_a_segmentation_network_has_the_flags(module):
    import_own({"options": {"conv": "flag_ops:Pair"}})
    model = semantic_fpn_pvig("micro", num_classes=2, conv="flag_ops:Pair")
    assert own_flags(_network_options(model)) == ["--conv", "flag_ops:Pair"]


def test_the_advice_to_resume_has_the_flags(module, tmp_path, capsys):
    (tmp_path / "last.ckpt").touch()
    options = {"conv": "flag_ops:Pair", "graph": ["flag_ops:ring", "knn", "knn", "knn"]}
    assert stopped(KeyboardInterrupt(), tmp_path, "detect train", options, first=True) == 130
    shown = shlex.split(capsys.readouterr().err.partition("with: ")[2])
    assert shown[:4] == ["vig-pyg", "detect", "train", "--resume"]
    assert shown[5:] == own_flags(options)
