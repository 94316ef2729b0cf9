from pathlib import Path

import numpy as np
import pytest

from vig_pyg.classification import splits
from vig_pyg.classification.splits import divided, find_copies


@pytest.mark.parametrize("counts", [(2, 2), (2, 3, 4), (5, 5), (2, 100), (2,) * 30, (50, 30, 2, 2), (1000, 7)])
def test_a_fifth_is_held_out_always_the_same_and_of_every_class_some_are_trained_on(counts):
    labels = np.repeat(range(len(counts)), counts).tolist()
    paths, names = [str(i) for i in range(len(labels))], [f"class {i}" for i in range(len(counts))]
    split = divided(paths, labels, names, Path("here"))
    assert sorted(split.train[0] + split.val[0], key=int) == paths
    assert set(split.train[1]) == set(range(len(counts)))
    assert len(split.val[0]) == max(-(-len(labels) // 5), len(counts))
    assert split == divided(paths, labels, names, Path("here"))
    for part in (split.train, split.val):
        assert [labels[int(path)] for path in part[0]] == part[1]


def test_copies_are_found_by_their_bytes(tmp_path):
    rng = np.random.default_rng(0)
    size = 3 * splits._PIECE
    content = [bytes(rng.integers(0, 255, size, dtype=np.uint8)) for _ in range(6)]
    changed = content[2][:-1] + b"\0" if content[2][-1] else content[2][:-1] + b"\1"  # the pieces agree
    files = {
        "a": content[0],
        "b": content[1],
        "c": content[2],
        "d": content[0],
        "e": changed,
        "f": content[5],
        "g": b"",
    }
    for name, data in {**files, "h": b""}.items():
        (tmp_path / name).write_bytes(data)
    train, val = ([str(tmp_path / name) for name in names] for names in ("abcg", "defhx"))
    assert find_copies(train, val) == [(str(tmp_path / "d"), str(tmp_path / "a"))]


def test_the_search_for_copies_ends(tmp_path, monkeypatch):
    for i in range(40):
        (tmp_path / str(i)).write_bytes(bytes(9000))
    paths = [str(tmp_path / str(i)) for i in range(40)]
    assert len(find_copies(paths[:20], paths[20:])) == 20
    monkeypatch.setattr(splits, "_MOST_BYTES", 400_000)
    assert 0 < len(find_copies(paths[:20], paths[20:])) < 20
    monkeypatch.setattr(splits, "_MOST_FILES", 3)
    calls = []
    size = splits._size
    monkeypatch.setattr(splits, "_size", lambda path: calls.append(path) or size(path))
    assert len(find_copies(paths[:20], paths[20:])) == 3 and len(calls) == 6
