import os
import subprocess
import sys

import pytest

from vig_pyg import _waiting
from vig_pyg._waiting import CHOICES, are_cores_contested, is_command, let_threads_sleep, running_threads

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
    let_threads_sleep(arguments, environment, lambda: 0)
    assert is_command(arguments) and environment == {"GOMP_SPINCOUNT": "3000"}
    beside = {}
    let_threads_sleep(arguments, beside, os.cpu_count)
    assert beside == {"GOMP_SPINCOUNT": "300"}
    free = {"OMP_NUM_THREADS": "0"}
    let_threads_sleep(arguments, free, lambda: os.cpu_count())
    assert free["GOMP_SPINCOUNT"] == "3000"


@pytest.mark.parametrize("arguments", OTHERS)
def test_other_programs_keep_their_settings(arguments):
    environment = {}
    let_threads_sleep(arguments, environment, lambda: 1)
    assert not is_command(arguments) and environment == {}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_of_the_user_is_kept(name):
    environment = {name: "active"}
    let_threads_sleep(COMMANDS[0], environment, lambda: 1)
    assert environment == {name: "active"}


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("0.10 1.32 1.84 1/163 9199\n", 0),
        ("2.00 1.32 1.84 3/163 9199\n", 2),
        ("0 0 0 0/0 0\n", 0),
        ("", 0),
        ("load average: high\n", 0),
        (None, 0),
    ],
)
def test_the_system_tells_what_runs_or_nothing_is_assumed(tmp_path, monkeypatch, text, want):
    monkeypatch.setattr(_waiting, "PAUSE", 0)
    if text is not None:
        (tmp_path / "loadavg").write_text(text)
    assert running_threads(tmp_path / "loadavg") == want


@pytest.mark.parametrize(
    ("others", "cores", "own", "wanted", "want"),
    [
        (0, 2, 2, None, False),
        (1, 2, 2, None, True),
        (1, 2, 2, "1", False),
        (1, 2, 1, None, False),
        (2, 2, 2, "1", True),
        (1, 64, 64, "64", True),
        (10, 64, 64, "8", False),
        (50, 64, 8, None, False),
        (60, 64, 8, "64", True),
        (1, 4, 4, "many", True),
        (1, 4, 4, "", True),
        (0, 4, 4, "400", False),
    ],
)
def test_cores_are_contested_if_there_are_fewer_than_threads(others, cores, own, wanted, want):
    assert are_cores_contested(others, cores, own, wanted) is want


@pytest.mark.parametrize(
    ("arguments", "want"),
    [(("-m", "vig_pyg.cli", "models"), {"300", "3000"}), (("-c", "from vig_pyg import ViG"), {"None"})],
)
def test_it_is_set_before_torch_is_loaded(arguments, want, tmp_path):
    """A stand-in for torch reports what it sees."""
    (tmp_path / "torch").mkdir()
    report = "import os\nraise SystemExit(f'torch sees {os.environ.get(\"GOMP_SPINCOUNT\")}')\n"
    (tmp_path / "torch" / "__init__.py").write_text(report)
    env = {key: value for key, value in os.environ.items() if key not in CHOICES}
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True)
    assert done.stderr.strip().removeprefix("torch sees ") in want
