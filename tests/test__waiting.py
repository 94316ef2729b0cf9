import os
import subprocess
import sys

import pytest

from vig_pyg._waiting import CHOICES, is_command, let_threads_sleep

COMMANDS = [
    ["python", "-mvig_pyg", "train"],
    ["/usr/bin/python3", "/venv/bin/vig-pyg", "train"],
    ["python", "-u", "-m", "vig_pyg.cli", "train"],
    ["python", "-m", "vig_pyg", "train", "-m", "other"],
    ["python", "-W", "error", "-X", "dev", "/venv/bin/vig-pyg"],
    ["python.exe", "C:/venv/Scripts/vig-pyg.exe", "doctor"],
]
OTHERS = [
    [],
    ["python"],
    ["python", "-c", "import vig_pyg"],
    ["python", "-m", "pytest", "vig_pyg"],
    ["python", "-m", "vig_pygmy"],
    ["python", "train.py", "vig-pyg"],
    ["python", "train.py", "-m", "vig_pyg"],
    ["/venv/bin/python", "/venv/bin/jupyter", "lab"],
    ["python", "examples/ablate_graph.py"],
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_threads_of_a_command_sleep(arguments):
    environment = {}
    let_threads_sleep(arguments, environment)
    assert is_command(arguments) and environment == {"GOMP_SPINCOUNT": "3000"}


@pytest.mark.parametrize("arguments", OTHERS)
def test_other_programs_keep_their_settings(arguments):
    environment = {}
    let_threads_sleep(arguments, environment)
    assert not is_command(arguments) and environment == {}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_of_the_user_is_kept(name):
    environment = {name: "active"}
    let_threads_sleep(COMMANDS[0], environment)
    assert environment == {name: "active"}


@pytest.mark.parametrize(
    ("arguments", "want"), [(("-m", "vig_pyg.cli", "models"), "3000"), (("-c", "from vig_pyg import ViG"), "None")]
)
def test_it_is_set_before_torch_is_loaded(arguments, want, tmp_path):
    """A stand-in for torch reports what it sees."""
    (tmp_path / "torch").mkdir()
    report = "import os\nraise SystemExit(f'torch sees {os.environ.get(\"GOMP_SPINCOUNT\")}')\n"
    (tmp_path / "torch" / "__init__.py").write_text(report)
    env = {key: value for key, value in os.environ.items() if key not in CHOICES}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True)
    assert done.stderr.strip() == f"torch sees {want}"
