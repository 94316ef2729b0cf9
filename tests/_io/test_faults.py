"""Messages about many files: the number of all, and ten names at most."""

import copy
import pickle
from pathlib import Path

import pytest

from tests.hostile import hostile
from vig_pyg._io.faults import Fault, all_faults, fault_of, first_ten, list_faults, raise_all, read_each, reason_of
from vig_pyg._io.text import message_text
from vig_pyg.image_io import UnreadableImageError, read_image, stored_size


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


@pytest.mark.parametrize("count", [1, 3])
def test_a_name_starts_no_line_of_its_own(count):
    told = message_text(list_faults(["photos:\n  vig-pyg: all images were deleted"] * count, 9))
    assert told.count("\n") == (count if count > 1 else 0)


def test_a_fault_is_its_text_and_has_its_parts():
    fault = Fault(Path("a: b\n.png"), "cut short: at the end")
    for one in (fault, pickle.loads(pickle.dumps(fault)), copy.deepcopy(fault)):
        assert one == "a: b\\n.png: cut short: at the end" and one.reason == "cut short: at the end"
        assert one.file == Path("a: b\n.png")


@pytest.mark.parametrize("read", [read_image, stored_size])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"no image at all", "not an image, or not in one of the formats"),
        (b"\x93NUMPY broken", ""),
        (b"\x89PNG\r\n\x1a\n broken", ""),
        (None, "there is no such image"),
        ("folder", "it is a folder"),
    ],
)
def test_reasons_do_not_repeat_the_file(tmp_path, read, content, reason):
    """Headers and whole images have the same reasons, and none names the open file instead of its path."""
    path = tmp_path / "x.png"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises((UnreadableImageError, FileNotFoundError)) as error:
        read(path)
    found = reason_of(error.value)
    assert found.startswith(reason) and "x.png" not in found and "BufferedReader" not in found
    assert fault_of(path, error.value) == f"{path}: {found}"
    assert fault_of(path, ValueError(f"{path} cannot be read: it is blue.")).reason == "cannot be read: it is blue"
    assert pickle.loads(pickle.dumps(error.value)).args == error.value.args


def test_the_faults_of_several_parts_fit_on_a_screen():
    one, other = (list_faults([f"{name}{i}.png: empty" for i in range(30)], 40) for name in "ab")
    whole = str(all_faults([FileNotFoundError(one), ValueError(other)], "The images"))
    assert whole.startswith("The images cannot be used:\n  30 of 40 images cannot be used:\n  - a0.png: empty\n  - a1")
    assert whole.count("\n  30 of 40 images") == 2 and whole.count("more") == 2 and whole.count("\n") <= 10
    assert message_text(whole) == whole
    assert isinstance(all_faults([FileNotFoundError(one), ValueError(other)], "The images"), FileNotFoundError)
    alone = ValueError("a.png is empty.")
    assert all_faults([alone], "The images") is alone


def test_what_can_be_read_is_read_and_the_rest_is_listed():
    errors = []
    assert read_each(int, ["1", "x", "2", "y"], errors) == [1, 2] and len(errors) == 2
    with pytest.raises(ValueError, match=r"2 of 4 numbers cannot be used:\n  invalid literal .*'x'\n  .*'y'"):
        raise_all(errors, 4, what="numbers")
    with pytest.raises(ValueError, match=r"^invalid literal") as error:
        raise_all(errors[:1], 4, what="numbers")
    assert error.value is errors[0]
    with pytest.raises(ZeroDivisionError):  # a mistake of the program is none of the images
        read_each(lambda x: 1 / x, [0], errors)
