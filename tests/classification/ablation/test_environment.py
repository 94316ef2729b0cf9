import shlex

import pytest
import torch

from vig_pyg._io.text import markdown_code, markdown_text
from vig_pyg.classification.ablation.environment import as_facts, environment


def test_the_facts_of_this_process():
    found = environment(["vig-pyg", "ablate", "--out", "a folder"])
    assert found["command"] == "vig-pyg ablate --out 'a folder'"
    assert found["torch"] == torch.__version__ and found["threads"] == torch.get_num_threads()


@pytest.mark.parametrize("word", ["|", "`x`", "<b>", "\n# a", "$x$", "[a](b)"])
def test_text_of_the_user_is_text(word):
    runs = {"mr": [{"seconds": 30.0, "environment": {"commit": "abc"}}, {"seconds": 30.0}]}
    settings, command, time = as_facts({"data": word, "none": None}, environment(["x", word]), runs, 60)
    assert "none" not in settings and "Commit: abc." in command and f" {torch.get_num_threads()} threads" in command
    assert time == "Time: 1.0 min of training in 2 runs; 1.0 min for the last command."
    assert settings == f"Settings: data {markdown_text(word)}."
    assert f"Command: {markdown_code(shlex.join(['x', word]))}. " in command
    assert not any("\n" in line for line in (settings, command))
