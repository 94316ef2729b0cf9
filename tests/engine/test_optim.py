import math
import random
from fractions import Fraction

import pytest
from torch import nn

from vig_pyg import pvig_micro, vig_micro
from vig_pyg.engine import TrainConfig
from vig_pyg.engine.optim import WarmRate, layer_of, learning_rate, parameter_groups, without_decay


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize("make", [vig_micro, pvig_micro])
def test_only_weights_decay_and_nothing_is_left_out(make, layer_decay):
    model = make()
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1, layer_decay=layer_decay)
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.1 for p in group["params"]}
    others = {id(p) for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    for name, p in model.named_parameters():
        assert id(p) in (decayed if p.dim() > 1 and "pos_embed" not in name else others), name


def test_lower_layers_are_slower():
    model = vig_micro(depth=3)
    groups = parameter_groups(model, lr=2.0, weight_decay=0.1, layer_decay=0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    found = {name: rates[id(p)] for name, p in model.named_parameters()}
    assert {rate for name, rate in found.items() if name.startswith("head.")} == {2.0}
    assert {rate for name, rate in found.items() if name.startswith("blocks.2.")} == {1.0}
    assert {rate for name, rate in found.items() if name.startswith("blocks.0.")} == {0.25}
    assert {rate for name, rate in found.items() if name.startswith(("stem.", "pos_embed."))} == {0.125}


def test_layers_are_in_order():
    order = list(dict.fromkeys(layer_of(name) for name, _ in pvig_micro().named_parameters()))
    assert sorted(order) == [(0,), (1, 0, 0), (1, 1, 0), (1, 2, 0), (1, 2, 1), (1, 3, 0), (2,)]
    assert layer_of("stages.1.downsample.conv.weight") == layer_of("stages.1.blocks.0.ffn.fc1.weight")


def test_a_model_s_own_groups_are_used():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.early, self.late = nn.Embedding(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

        def no_weight_decay(self):
            return {"table.weight"}

        def group_matcher(self, coarse=False):
            return {"early": r"early|table"}

    model = Own()
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    found = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert found[id(model.table.weight)] == (0.5, 0)
    assert found[id(model.early.weight)] == (0.5, 0.1)
    assert found[id(model.late.weight)] == (1.0, 0.1)


@pytest.mark.parametrize("make", [vig_micro, pvig_micro])
def test_a_part_of_a_larger_network_has_its_groups_too(make):
    body = make(num_classes=0)
    model = nn.ModuleDict({"body": body, "last": nn.Linear(2, 2)})
    assert without_decay(model) == {"body.pos_embed.weight"}
    groups = parameter_groups(model, lr=1.0, weight_decay=0.1, layer_decay=0.5)
    rates = {id(p): (group["lr"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert rates[id(model["last"].weight)] == (1.0, 0.1)
    assert rates[id(body.pos_embed.weight)] == (0.5 ** (1 + body.config.num_blocks), 0)
    assert without_decay(nn.ModuleDict({"pos_embed": nn.Embedding(2, 2)})) == {"*pos_embed*"}


def test_frozen_parameters_are_left_out():
    model = vig_micro()
    for p in model.stem.parameters():
        p.requires_grad_(False)
    count = len(list(model.parameters())) - len(list(model.stem.parameters()))
    for decay in (1.0, 0.5):
        groups = parameter_groups(model, lr=1.0, weight_decay=0.1, layer_decay=decay)
        assert sum(len(group["params"]) for group in groups) == count


def test_the_rate_starts_rises_and_ends_where_it_should():
    rate = WarmRate(100, 10, start=0.1, end=0.01)
    values = [rate(step) for step in range(101)]
    assert values[0] == pytest.approx(0.19)
    assert values[9] == values[10] == 1
    assert values[55] == pytest.approx(0.505)
    assert values[100] == pytest.approx(0.01)
    assert values[10:] == sorted(values[10:], reverse=True)
    assert rate(1000) == pytest.approx(0.01)


def test_rates_of_a_detector():
    """The 1x schedule of COCO, and a short run that warms up shortly."""

    def rates(steps, **values):
        return learning_rate(TrainConfig(**{"warmup": "5 steps", **values}), steps)

    step, cosine = rates(120, schedule="step"), rates(120)
    for rate in (step, cosine):
        assert [rate(i) for i in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert [round(step(i), 4) for i in (79, 80, 109, 110, 119)] == [1, 0.1, 0.1, 0.01, 0.01]
    assert cosine(62) == pytest.approx(0.5 * (1 + math.cos(math.pi * 57 / 115)))
    assert cosine(119) < 1e-3
    assert rates(20, warmup="500 steps")(0) == 0.5


@pytest.mark.parametrize("steps", [*range(1, 40), 87_948, 263_844, 10**9])
def test_milestones_are_exact_shares_of_any_number_of_steps(steps):
    """As fractions, which have no rounding; `steps - 1` to `steps + 1` around each drop, and random steps."""
    draw = random.Random(steps)
    for milestones in ([(8, 12), (11, 12)], [(27, 36), (33, 36)], [], [(1, 3), (1, 3)], [(0, 1), (5, 7), (1, 1)]):
        rate = WarmRate(steps, 0, schedule="step", milestones=tuple(a / b for a, b in milestones))
        drops = [Fraction(a, b) * steps for a, b in milestones]
        near = [math.ceil(drop) + i for drop in drops for i in (-1, 0, 1)]
        for step in {*near, *(draw.randrange(steps) for _ in range(20))}:
            if 0 <= step < steps:
                assert rate(step) == pytest.approx(0.1 ** sum(step >= drop for drop in drops))


def test_the_default_milestones_are_those_of_the_1x_schedule():
    rate = learning_rate(TrainConfig(schedule="step", warmup="0%", epochs=12), 1200)
    assert [round(rate(step), 4) for step in (1, 799, 800, 1099, 1100, 1199)] == [1, 1, 0.1, 0.1, 0.01, 0.01]
    three = learning_rate(TrainConfig(schedule="step", warmup="0%", epochs=36, milestones=(27 / 36, 33 / 36)), 3600)
    assert [round(three(step), 4) for step in (2699, 2700, 3299, 3300)] == [1, 0.1, 0.1, 0.01]


@pytest.mark.parametrize("wrong", [(0.9, 0.5), (1.5,), (-0.1,), ("a",), 0.5, (float("nan"),)])
def test_wrong_milestones_are_refused(wrong):
    with pytest.raises(ValueError, match="milestones"):
        TrainConfig(milestones=wrong)


def test_the_polynomial_schedule_is_the_remaining_share_to_the_power_of_nine_tenths():
    draw = random.Random(0)
    for _ in range(50):
        steps, lr = draw.randint(2, 5000), draw.uniform(1e-5, 1)
        rise = draw.randint(1, max(1, steps // 2))
        config = TrainConfig(schedule="poly", warmup=f"{100 * rise / steps:.9f}%", lr=lr, min_lr=lr * draw.random())
        rate, end = learning_rate(config, steps), config.min_lr / lr
        rise = rate.rise
        for step in {rise, steps - 1, steps, steps + 3, draw.randint(rise, steps)}:
            left = 1 - min(1, (step - rise) / max(1, steps - rise))
            assert rate(step) == pytest.approx(end + (1 - end) * left**0.9)
        assert rate(rise) == 1 and rate(steps) == pytest.approx(end)
