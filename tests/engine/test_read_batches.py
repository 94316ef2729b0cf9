import os

import pytest
import torch

from vig_pyg.engine.read_batches import read_batches
from vig_pyg.image_io import UnreadableImageError


class Numbers(torch.utils.data.Dataset):
    """Numbers, one of which cannot be read."""

    def __init__(self, count, bad=None, error=None):
        self.count, self.bad, self.error = count, bad, error

    def __len__(self):
        return self.count

    def __getitem__(self, i):
        if i == self.bad:
            raise self.error
        return torch.tensor([i])


@pytest.mark.parametrize("count", [1, 4, 7])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_batches_are_those_of_a_loader(count, batch_size):
    for order in (None, list(range(count))[::-1]):
        want = torch.tensor(order or range(count)).split(batch_size)
        found = list(read_batches(Numbers(count), batch_size, collate=torch.cat, order=order))
        assert len(found) == len(want) and all(map(torch.equal, found, want))


@pytest.mark.parametrize("num_workers", [0, 1])
@pytest.mark.parametrize(
    "error", [ValueError("a.jpg is cut short."), FileNotFoundError("No file b."), UnreadableImageError("it is empty")]
)
def test_an_error_has_its_own_type_and_words_only(num_workers, error):
    found = read_batches(Numbers(7, bad=5, error=error), 2, collate=torch.cat, num_workers=num_workers)
    assert [next(found).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(type(error)) as caught:
        next(found)
    assert type(caught.value) is type(error) and str(caught.value) == str(error)


def test_other_errors_are_faults_and_keep_their_traceback():
    with pytest.raises(KeyError):
        list(read_batches(Numbers(2, bad=1, error=KeyError("x")), 1, collate=torch.cat))


@pytest.mark.parametrize(("cores", "num_workers"), [(1, 2), (1, 64), (2, 3)])
def test_no_more_processes_read_than_there_are_cores(monkeypatch, cores, num_workers):
    """torch would warn, and warnings are errors here."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    found = list(read_batches(Numbers(3), 2, collate=torch.cat, num_workers=num_workers))
    assert [batch.tolist() for batch in found] == [[0, 1], [2]]
