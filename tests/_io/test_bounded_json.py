import os
import tracemalloc

import pytest

from vig_pyg._io.bounded_json import JSON_LIMIT, read_bounded, read_json


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "config.json"
        path.write_bytes(content if isinstance(content, bytes) else content.encode(errors="surrogatepass"))
        return path

    return write


def test_what_is_json_is_read(written):
    assert read_json(written('{"a": [1, 2.5, null, true, "\\u732b", {"b": -3}]}')) == {
        "a": [1, 2.5, None, True, "猫", {"b": -3}]
    }
    assert read_json(written(b"\xef\xbb\xbf{}")) == {}  # Windows puts a mark before it
    assert read_json(written('{"a": ' + "[" * 18 + "]" * 18 + "}"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "a mapping from keys to values, got a list"),
        ("null", "a mapping from keys to values, got nothing"),
        ('"x"', "a mapping from keys to values, got text"),
        ('{"a": NaN}', "NaN is not a finite number"),
        ('{"a": [-Infinity]}', "-Infinity is not a finite number"),
        ('{"a": 1e999}', "1e999 is not a finite number"),
        ('{"a": ' + "9" * 21 + "}", "21 digits"),
        ('{"a": ' + "9" * 10**6 + "}", "1000000 digits"),
        ('{"a": 1, "a": 2}', "'a' occurs twice"),
        ('{"b": {"\\u001b[2J": 1, "\\u001b[2J": 2}}', r"occurs twice"),
        ('{"a": ' + "[" * 30 + "]" * 30 + "}", "nested too deeply"),
        ('{"a":' * 10**5, "not JSON|nested too deeply"),
        ("[" * 10**5 + "]" * 10**5, "nested too deeply"),
        (b'{"a": "\xff"}', "not text in UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "not text in UTF-8"),
        ('{"a": "\x1b"}', "not JSON"),
        (b"\x00" * 100, "not JSON"),
        ('{"a": 1} {"b": 2}', "not JSON"),
    ],
)
def test_anything_else_is_refused_in_one_line_with_the_name_of_the_file(written, content, said):
    path = written(content)
    with pytest.raises(ValueError, match=said) as error:
        read_json(path)
    assert str(error.value).startswith(str(path))
    assert str(error.value).isprintable() and len(str(error.value)) < 500


def test_large_files_take_little_memory(written):
    path = written(b"[" + b"[]," * 2**18)
    with path.with_name("sparse.json").open("wb") as file:
        file.truncate(100 * 2**20)
    for one in (path, path.with_name("sparse.json")):
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"larger than 4096 KiB|not JSON"):
            read_json(one)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40 * JSON_LIMIT
    assert read_json(written('{"a": "' + "x" * (JSON_LIMIT - 9) + '"}'))


def test_a_folder_is_answered_with_a_file_in_it(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder: pass a file\.$"):
        read_bounded(tmp_path, limit=10)
    for name in ("model.safetensors", "config.yaml", "config.txt"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"is a folder: pass a file in it, such as .*config\.yaml\.$"):
        read_bounded(tmp_path, limit=10)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe", tmp_path / "link", "/dev/zero"):
        with pytest.raises(ValueError, match="is not a regular file"):
            read_bounded(path, limit=10)
    for path in (tmp_path / "none", tmp_path / "none" / "deep"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            read_bounded(path, limit=10)
    (tmp_path / "real").write_text("text")
    (tmp_path / "good").symlink_to("real")
    assert read_bounded(tmp_path / "good", limit=4) == "text"
