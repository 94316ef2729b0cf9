import io

import pytest
from rich.console import Console

from tests.classification.job import NETWORK, few_digits, fit
from vig_pyg.classification import ClassificationConfig
from vig_pyg.engine.progress import ProgressBar


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
