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


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Each test draws the same numbers, alone or among others."""
    torch.manual_seed(0)
