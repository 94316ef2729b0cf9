"""A message about an unknown name has the nearest one first, and never a long list."""

import random

import pytest

from vig_pyg import create_model, list_graphs, list_models
from vig_pyg._io.names import choose, few_names
from vig_pyg.backbones import backbone_names
from vig_pyg.classification import load_classifier
from vig_pyg.conv import list_convs, resolve_conv
from vig_pyg.detection import retinanet_pvig
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.config_file import merge_values
from vig_pyg.segmentation import semantic_fpn_pvig


@pytest.mark.parametrize("seed", range(10))
def test_the_nearest_comes_first_and_few_follow(seed):
    draw = random.Random(seed)
    count = draw.randint(1, 40)
    known = [f"{draw.choice(['vig', 'graph', 'mobile'])}_{i}{draw.choice('abcdef')}" for i in range(count)]
    meant = draw.choice(known)
    told = choose(f"{meant}x", known, every="list_all()")
    assert told.startswith(f". Did you mean {meant!r}? Choose one of ")
    listed = few_names(f"{meant}x", known).partition(" and ")[0].split(", ")
    assert listed == [name for name in known if name in listed] and meant in listed
    assert len(listed) == count if count <= 16 else len(listed) == 6
    assert told.endswith(f"and {count - 6} more (list_all())") == (count > 16)
    assert choose("?", known).startswith(": choose one of ")


@pytest.mark.parametrize("known", [list_models(), list_convs(), list_graphs(), backbone_names(), ["Mr", "EDGE", "x"]])
def test_the_case_of_letters_counts_little(known):
    for meant in known:
        for typed in (meant.upper(), meant.title(), meant.swapcase(), f"{meant}Q"[:-1].capitalize()):
            if typed not in known:
                assert choose(typed, known).startswith(f". Did you mean {meant!r}? ")
                assert meant in few_names(typed, known)
    assert choose("Mr", ["mr", "MR"]).startswith(". Did you mean 'mr'? ")


def misspelt(name):
    """The name with one more letter, which is no other name."""
    return name[:-1] + "x" + name[-1]


@pytest.mark.parametrize(
    ("known", "ask"),
    [
        (list_models(), create_model),
        (list_models(), load_classifier),
        (backbone_names(), lambda name: retinanet_pvig(name, num_classes=1)),
        (backbone_names(), lambda name: semantic_fpn_pvig(name, num_classes=1)),
        (list_graphs(), lambda name: create_model("vig_micro", graph=name)),
        (list(TrainConfig.__dataclass_fields__), lambda name: merge_values(TrainConfig, {}, ("a.yaml", {name: 1}))),
        (["num_classes", "drop_path_rate"], lambda name: create_model("pvig_micro", **{name: 1})),
        (["num_classes"], lambda name: retinanet_pvig("micro", **{name: 1})),
        (["num_classes"], lambda name: semantic_fpn_pvig("micro", **{name: 1})),
        (list_convs(), lambda name: resolve_conv(name, heads=1)),
    ],
)
def test_every_door_names_the_nearest_and_a_few(known, ask):
    for name in sorted(known, key=len)[-4:]:  # short names are near to several others
        wrong = misspelt(name)
        with pytest.raises((ValueError, TypeError, OSError)) as caught:
            ask(wrong)
        told = str(caught.value)
        before, _, after = told.lower().partition("one of " if "one of " in told else "from ")
        assert f"did you mean '{name}'?" in before, told
        assert name in after and len(after.partition(" more")[0].split(", ")) <= 17, told
