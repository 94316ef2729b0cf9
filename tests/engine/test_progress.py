import io

import pytest
from rich.console import Console

from tests.classification.job import NETWORK, few_digits, fit
from vig_pyg.classification import ClassificationConfig
from vig_pyg.engine.progress import ProgressBar

pytestmark = pytest.mark.usefixtures("blank_pictures")


@pytest.mark.parametrize("terminal", [False, True])
def test_epochs_of_one_step_have_a_speed_and_a_time(tmp_path, monkeypatch, terminal):
    text, start = io.StringIO(), ProgressBar.__init__
    console = Console(file=text, force_terminal=terminal, width=200)
    monkeypatch.setattr(
        ProgressBar,
        "__init__",
        lambda self, history, batch_size: start(self, history, batch_size=batch_size, console=console),
    )
    recipe = ClassificationConfig(epochs=2, batch_size=64)
    fit(few_digits(train=64, batch_size=64), tmp_path / "run", model="vig_micro", options=NETWORK, recipe=recipe)
    lines = [line for line in text.getvalue().splitlines() if "training loss" in line]
    assert len(lines) == 2 and lines[1].split(", ")[-1].startswith("0:00:00 left")
    assert not [line for line in lines if " 0.0 images/s" in line or "days" in line]


@pytest.mark.parametrize("terminal", [False, True])
def test_speed_time_and_scores_are_shown(tmp_path, monkeypatch, terminal):
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=200)
    start = ProgressBar.__init__
    monkeypatch.setattr(
        ProgressBar,
        "__init__",
        lambda self, history, batch_size: start(self, history, batch_size=batch_size, console=console),
    )
    fit(few_digits(), tmp_path / "run", model="vig_micro", options=NETWORK, recipe=ClassificationConfig(epochs=2))
    lines = text.getvalue().splitlines()
    for epoch in (1, 2):
        line = next(line for line in lines if f"epoch {epoch}/2: training loss" in line)
        assert "images/s" in line
        assert "left" in line
        assert "accuracy" in line
    assert ("━" in text.getvalue()) == terminal
