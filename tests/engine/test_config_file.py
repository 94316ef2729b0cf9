import random
import re
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest

from tests.mutations import VALUES
from vig_pyg._io.bounded_yaml import parse_yaml
from vig_pyg._io.dataclass_schema import check_fields
from vig_pyg._io.schema import Scalar, number, whole
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.engine.config import TrainConfig
from vig_pyg.engine.config_file import from_values, merge_values, to_values, to_yaml


@dataclass(frozen=True, kw_only=True)
class Part:
    flip: Annotated[float, number(0, 1)] = 0.5
    color: Annotated[float, number(0, 1)] = 0.0

    def __post_init__(self):
        check_fields(self)


@dataclass(frozen=True, kw_only=True)
class Whole(TrainConfig):
    size: Annotated[int, whole(1, 99)] = 16
    options: Annotated[dict[str, Any], Scalar("a mapping", lambda v: isinstance(v, dict))] = field(default_factory=dict)
    augmentation: Part = field(default_factory=Part)


def test_the_last_source_wins_parts_change_and_options_replace():
    base = to_values(Whole(options={"k": 3, "conv": "mr"}))
    file = ("a.yaml", {"size": 5, "augmentation": {"flip": 0.1}, "options": {"k": 5, "depths": [1, 2]}})
    line = ("the command line", {"size": 7, "augmentation": {"color": 1}, "options.heads": 2, "options.k": 7})
    made = from_values(Whole, merge_values(Whole, base, file, line))
    assert (made.size, made.augmentation) == (7, Part(flip=0.1, color=1))
    assert made.options == {"k": 7, "depths": (1, 2), "heads": 2}
    assert from_values(Whole, merge_values(Whole, base)).options == {"k": 3, "conv": "mr"}


def test_a_configuration_goes_round_as_yaml():
    """100 drawn configurations."""
    draw = random.Random(0)
    for _ in range(100):
        made = Whole(
            epochs=draw.randint(1, 100),
            lr=draw.choice([1e-8, 3e-4, 1.0]),
            warmup=draw.choice(["5%", "3 epochs", "500 steps"]),
            ema=draw.choice([None, 0.5]),
            devices=draw.choice(["auto", 2]),
            freeze=draw.random() < 0.5,
            augmentation=Part(flip=draw.random()),
            options=draw.choice([{}, {"k": (3, 9)}, {"depths": (1, 2), "graph": None, "conv": "my_ops:MyConv"}]),
        )
        text = to_yaml(made)
        assert text.startswith("size: 16\noptions:")
        assert from_values(Whole, merge_values(Whole, {}, ("a.yaml", parse_yaml(text, where="a.yaml")))) == made


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rat": 1}, r"^a.yaml: unknown entry 'learning_rat': choose one of epochs, batch_size"),
        ({"epoch": 1}, r"^a.yaml: unknown entry 'epoch' \(did you mean 'epochs'\?\)"),
        ({"epochs": "ten"}, r"^a.yaml: epochs must be a whole number from 1 to 1000000, got 'ten'\."),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": True}, "epochs must be a whole number"),
        ({"lr": None}, "lr must be a number above 0, at most 1000, got None"),
        ({"warmup": 5}, r'warmup must be text such as "5%" .*"500 steps".*"20 epochs", got 5'),
        ({"freeze": 2}, "freeze must be true or false, got 2"),
        ({"keep": "first"}, "keep must be one of last, best, got 'first'"),
        ({"options": "conv"}, "options must be a mapping"),
        ({"augmentation": {"flop": 1}}, r"augmentation: unknown entry 'flop' \(did you mean 'flip'\?\)"),
        ({"augmentation": 3}, "augmentation must be a mapping from keys to values, got 3"),
        ({3: 1}, "unknown entry '3'"),
    ],
)
def test_mistakes_name_the_file_and_the_entry(values, said):
    with pytest.raises(ValueError, match=said):
        merge_values(Whole, {}, ("a.yaml", values))


@pytest.mark.parametrize("name", to_values(TrainConfig()))
def test_a_value_is_taken_within_its_bounds_or_refused_by_name(name):
    """36 values for each of the fields that every task has."""
    refused = 0
    for value in [*VALUES, "nan", 10**400]:
        try:
            merged = merge_values(TrainConfig, {}, ("a.yaml", {name: value}))
        except ValueError as error:
            refused += 1
            assert re.match(rf"a\.yaml: {name}(\[\d+\])? must be", str(error)) and str(error).isprintable()
            assert len(str(error)) < 400
        else:
            found = getattr(from_values(TrainConfig, merged), name)
            assert (list(found) if isinstance(found, tuple) else found) == value  # lists become tuples
    assert refused >= 20


def test_former_names_in_files_of_older_runs_are_read():
    made = from_values(ClassificationConfig, merge_values(ClassificationConfig, {}, ("a.yaml", {"on_broken": "skip"})))
    assert made.on_bad == "drop" and to_values(made)["on_bad"] == "drop" and "on_broken" not in to_values(made)
    assert merge_values(ClassificationConfig, {}, ("a.yaml", {"on_broken": "stop"})) == {"on_bad": "stop"}
    for wrong in (3, None, ["skip"], "drip"):
        with pytest.raises(ValueError, match="on_bad must be one of"):
            merge_values(ClassificationConfig, {}, ("a.yaml", {"on_broken": wrong}))


def test_code_among_the_options_is_written_as_the_flags_name_it():
    config = ClassificationConfig(options={"conv": Part, "graph": ["knn", list], "k": 3})
    options = parse_yaml(to_yaml(config), where="a.yaml")["options"]
    assert options == {"conv": f"{__name__}:Part", "graph": ["knn", "builtins:list"], "k": 3}
