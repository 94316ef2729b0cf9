import logging

import pytest
import torch

from vig_pyg.engine import low_precision
from vig_pyg.engine.low_precision import time_in_bfloat16, warn_of_slow_bfloat16

CPU = torch.device("cpu")


def test_it_measures_and_leaves_random_numbers_as_they_are():
    before = torch.get_rng_state()
    with torch.no_grad():
        assert 0.01 < time_in_bfloat16(repeats=1) < 100
    assert torch.equal(torch.get_rng_state(), before)


def test_the_steps_are_those_of_both_precisions(monkeypatch):
    """A clock that runs with the precision: a step in bfloat16 takes three times as long."""
    now = [0.0]

    def forward(self, x, batch, num_graphs):
        now[0] += 3 if torch.is_autocast_enabled("cpu") else 1
        return x * 1

    monkeypatch.setattr(low_precision.FFN, "forward", forward)
    monkeypatch.setattr(low_precision.time, "perf_counter", lambda: now[0])
    assert time_in_bfloat16(repeats=2) == 3


@pytest.mark.parametrize(
    ("precision", "device", "ratio", "told"),
    [
        ("bf16-mixed", CPU, 1.74, True),
        ("bf16-mixed", CPU, 0.6, False),
        ("bf16-mixed", CPU, 1.05, False),
        ("bf16-mixed", torch.device("mps"), 1.74, False),
        ("32-true", CPU, 1.74, False),
        ("bf16-true", CPU, 1.74, False),
    ],
)
def test_only_a_slower_precision_is_told(monkeypatch, caplog, precision, device, ratio, told):
    monkeypatch.setattr(low_precision, "time_in_bfloat16", lambda: ratio)
    with caplog.at_level(logging.WARNING):
        warn_of_slow_bfloat16(precision, device)
    assert [record.getMessage() for record in caplog.records] == (
        [
            "On this CPU, training in bfloat16 takes 1.7 times as long as in float32 (measured with one layer): "
            "use --precision 32-true."
        ]
        if told
        else []
    )


@pytest.mark.parametrize(
    ("precision", "capability", "told"),
    [("bf16-mixed", 75, True), ("bf16-true", 70, True), ("16-mixed", 75, False), ("bf16-mixed", 80, False)],
)
def test_a_gpu_without_bfloat16_is_told(monkeypatch, caplog, precision, capability, told):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: divmod(capability, 10))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"T4 number {device.index}")
    with caplog.at_level(logging.WARNING):
        warn_of_slow_bfloat16(precision, torch.device("cuda", 1))
    text = "T4 number 1 does not support bfloat16, which torch emulates there: use --precision 16-mixed."
    assert [record.getMessage() for record in caplog.records] == [text] * told
