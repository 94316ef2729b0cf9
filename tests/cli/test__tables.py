import random

from tests.hostile import hostile
from vig_pyg.cli._tables import _width, file_list, padded, scores_table, table


def test_columns_are_aligned():
    lines = table(["class", "images", "top-1"], [("猫", "1,234", "9.5 %"), ("golden retriever", "7", "100.0 %")]).split(
        "\n"
    )
    assert lines[0] == "class             images    top-1"
    assert lines[1] == "猫                 1,234    9.5 %"  # two columns on a terminal
    assert lines[2] == "golden retriever       7  100.0 %"


def test_random_tables_have_lines_of_one_width():
    rng = random.Random(0)
    for _ in range(200):
        rows = [
            ["".join(rng.choices("ab 猫é🐱e\u0301", k=rng.randrange(0, 9))), *(str(rng.randrange(10**6)) for _ in "ab")]
            for _ in range(rng.randrange(1, 6))
        ]
        lines = table(["name", "first", "second"], rows).split("\n")
        assert len({_width(line) for line in lines}) == 1
        assert [line.split()[-1] for line in lines] == ["second", *(row[2] for row in rows)]


def test_names_from_outside_are_escaped_and_short():
    for text in hostile(200):
        lines = table(["class", "n"], [(text, "1")]).split("\n")
        assert len(lines) == 2 and all(line.isprintable() for line in lines)
        assert len(lines[1]) <= 66


def test_tables_without_a_head_or_rows():
    assert table(["", ""], [("a", "1"), ("bb", "22")]) == "a    1\nbb  22"
    assert table(["", ""], []) == "" and table(["a", "b"], []) == "a  b"
    assert padded([]) == []


def test_scores_of_what_does_not_occur():
    shown = scores_table({"AP": 0.5, "AP_small": -1.0, "mIoU": float("nan")})
    assert shown == "AP                50.0 %\nAP_small  no such object\nmIoU                   -"


def test_files_are_listed_escaped(tmp_path):
    assert file_list([tmp_path / "a\x1b.png", tmp_path / "b"]) == f"  {tmp_path}/a\\x1b.png\n  {tmp_path}/b"


def test_signs_above_and_below_letters_have_no_width():
    assert [_width(text) for text in ("é", "e\u0301", "क\u0941", "\u2764\ufe0f", "猫", "")] == [1, 1, 1, 1, 2, 0]
