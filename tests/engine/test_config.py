from dataclasses import fields, replace
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from vig_pyg._io.dataclass_schema import checks_of
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.detection.config import DetectionConfig
from vig_pyg.engine import TrainConfig
from vig_pyg.segmentation.config import SegmentationConfig

#: A configuration of each task.
TASKS = [
    ClassificationConfig(data="a"),
    DetectionConfig(train="a", val="b"),
    SegmentationConfig(train="a", val="b"),
]
#: Each choice of the options that all tasks have.
CHOICES = [
    (name, value)
    for name, hint in get_type_hints(TrainConfig).items()
    if get_origin(hint) is Literal
    for value in get_args(hint)
]


def test_every_value_has_bounds():
    assert checks_of(TrainConfig).keys() == {field.name for field in fields(TrainConfig)}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
@pytest.mark.parametrize(("name", "value"), CHOICES)
def test_every_task_has_the_choices_of_all_tasks(task, name, value):
    assert getattr(replace(task, **{name: value}), name) == value


def test_the_schedules_are_among_the_choices():
    assert {value for name, value in CHOICES if name == "schedule"} == {"cosine", "poly", "step"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1 to 1000000, got 0"),
        ({"lr": 0.0}, "lr must be a number above 0, at most 1000, got 0.0"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"warmup": 0.1}, 'warmup must be text such as "5%"'),
        ({"clip_grad": 0}, "clip_grad must be a number above 0, at most 1e.09, or null, got 0"),
        ({"precision": "float32"}, "precision must be one of 32-true, 16-mixed, bf16-mixed"),
    ],
)
def test_wrong_values_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        TrainConfig(**wrong)
