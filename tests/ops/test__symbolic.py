import pytest
import torch
from torch._dynamo.testing import CompileCounter

from vig_pyg.ops import is_open, is_surely


class Answers(torch.nn.Module):
    """Adds 1 if the number of rows is open, 2 if twice that number is, and 4 if it is surely below 1000."""

    def forward(self, x):
        n = x.size(0)
        return x + (1 if is_open(n) else 0) + (2 if is_open(3, 2 * n) else 0) + (4 if is_surely(n < 1000) else 0)


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("rows", [2, 7, 14])
def test_numbers_are_known(rows):
    assert Answers()(torch.zeros(rows))[0] == 4
    compiled = torch.compile(Answers(), backend="eager", fullgraph=True, dynamic=False)
    assert compiled(torch.zeros(rows))[0] == 4
    assert is_surely(rows < 1000) and not is_surely(rows > 1000)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(("most", "sure"), [(100, 4), (5000, 0)])
def test_dimensions_of_an_exported_program_are_open(strict, most, sure):
    rows = torch.export.Dim("rows", min=2, max=most)
    program = torch.export.export(Answers(), (torch.zeros(14),), dynamic_shapes=({0: rows},), strict=strict)
    assert program.module()(torch.zeros(14))[0] == program.module()(torch.zeros(77))[0] == 3 + sure


def test_asking_does_not_tie_a_compiled_program_to_a_size():
    counter = CompileCounter()
    compiled = torch.compile(Answers(), backend=counter, fullgraph=True, dynamic=True)
    assert [float(compiled(torch.zeros(rows))[0]) for rows in (14, 5, 7, 2000)] == [3.0] * 4
    assert counter.frame_count == 1
