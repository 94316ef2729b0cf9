"""What all tests share."""

import os
import signal

# threads that wait spin by default: two processes on the same cores then stand still for minutes
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

if not torch.cuda.is_available():  # kernels for GPUs then run in Triton's interpreter; it asks when they are imported
    os.environ.setdefault("TRITON_INTERPRET", "1")

# a shell lets what it starts in the background ignore these, and tests send them
for number, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, number) and signal.getsignal(getattr(signal, number)) is signal.SIG_IGN:
        signal.signal(getattr(signal, number), handler)


#: Tests that run with `--device cuda`; others are about files, commands and training, or start processes of their own.
ON_ANY_DEVICE = (
    "tests/ops/",
    "tests/graph/",
    "tests/conv/",
    "tests/models/",
    "tests/test_block.py",
    "tests/test_data.py",
    "tests/test_fuse.py",
    "tests/test_head.py",
    "tests/test_layers.py",
    "tests/test_one_image.py",
    "tests/test_parity.py",
    "tests/test_position.py",
    "tests/test_stem.py",
)


def pytest_addoption(parser):
    parser.addoption("--device", help="where tests put new tensors: cpu (default) or cuda")


def pytest_configure(config):
    """Before the tests are collected, as their parameters hold tensors too."""
    device = config.getoption("--device")
    if device is not None:
        torch.empty(0, device=device)  # a missing GPU is one message, not one for each test
        torch.set_default_device(device)


def pytest_collection_modifyitems(config, items):
    """On another device only what can run there."""
    if config.getoption("--device") in (None, "cpu"):
        return
    for item in items:
        marker = item.get_closest_marker("cpu_only")
        if marker is not None:
            item.add_marker(pytest.mark.skip(reason=f"about CPUs: {marker.args[0]}"))
        elif not item.nodeid.startswith(ON_ANY_DEVICE):
            item.add_marker(pytest.mark.skip(reason="about no device (see ON_ANY_DEVICE)"))


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Each test draws the same numbers, alone or among others."""
    torch.manual_seed(0)
