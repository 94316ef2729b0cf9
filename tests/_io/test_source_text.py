from pathlib import Path

import pytest

from vig_pyg._io.source_text import path_and_part


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("voc", ("voc", None)),
        ("voc:train", ("voc", "train")),
        ("a:b:c", ("a:b", "c")),
        ("voc:", ("voc", "")),
        (":train", (":train", None)),
        (Path("voc:train"), ("voc", "train")),
    ],
)
def test_the_last_colon_divides(text, want):
    path, part = path_and_part(text)
    assert (str(path), part) == want


def test_what_exists_is_a_name(tmp_path):
    (tmp_path / "a:b").mkdir()
    assert path_and_part(tmp_path / "a:b") == (tmp_path / "a:b", None)
    assert path_and_part(tmp_path / "a:c") == (tmp_path / "a", "c")
