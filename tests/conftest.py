"""What all tests share."""

import os

# threads that wait spin by default: two processes on the same cores then stand still for minutes
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest
import torch

if not torch.cuda.is_available():  # kernels for GPUs then run in Triton's interpreter; it asks when they are imported
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Each test draws the same numbers, alone or among others."""
    torch.manual_seed(0)
