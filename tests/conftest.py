"""What all tests share."""

import pytest
import torch


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Each test draws the same numbers, alone or among others."""
    torch.manual_seed(0)
