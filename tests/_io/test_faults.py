"""Messages about many files: the number of all, and ten names at most."""

import pytest

from vig_pyg._io.faults import first_ten, list_faults


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 12, 1011])
def test_ten_are_named_and_all_are_counted(count):
    faults = [f"<{i}>.png is empty." for i in range(count)]
    told = list_faults(faults, 2000)
    assert [f"<{i}>" in told for i in range(count)] == [i < 10 for i in range(count)]
    assert told.startswith("<0>" if count == 1 else f"{count:,} of 2,000 images cannot be used: <0>.png is empty")
    assert ("more" in told) == (count > 10) and not told.endswith(".")
    assert told.endswith(f"; and {count - 10:,} more") or count <= 10
    assert told.endswith(first_ten(faults))
