"""Messages about many files: the number of all, and ten names at most."""

import pytest

from tests.hostile import hostile
from vig_pyg._io.faults import first_ten, list_faults
from vig_pyg._io.text import message_text


@pytest.mark.parametrize("count", [1, 2, 9, 10, 11, 12, 1011])
def test_ten_are_named_and_all_are_counted(count):
    faults = [f"<{i}>.png is empty." for i in range(count)]
    told = list_faults(faults, 2000)
    assert [f"<{i}>" in told for i in range(count)] == [i < 10 for i in range(count)]
    head, *lines = told.split("\n")
    assert head == ("<0>.png is empty." if count == 1 else f"{count:,} of 2,000 images cannot be used:")
    assert len(lines) == (0 if count == 1 else min(count, 11)) and all(line.startswith("  ") for line in lines)
    assert ("more" in told) == (count > 10)
    assert told.endswith(f"\n  and {count - 10:,} more") or count <= 10
    assert f":{first_ten(faults)}".endswith(told.removeprefix(head) or f" {told}")


@pytest.mark.parametrize("count", [1, 2, 5, 15])
@pytest.mark.parametrize("kind", [ValueError, OSError, UserWarning])
def test_each_has_a_line_on_a_terminal_whatever_its_name_is(count, kind):
    names = hostile(count, seed=count)
    told = list_faults(names, 40, advice="; remove them")
    shown = message_text(kind(told)).split("\n")
    assert len(shown) == (1 if count == 1 else 1 + min(count, 11))
    assert all(line.isprintable() and line.startswith("  ") for line in shown[1:]) and shown[0].isprintable()
    assert message_text(kind(told)) == message_text(told)
