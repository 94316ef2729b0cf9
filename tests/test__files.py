import errno
import os

import pytest

from vig_pyg._files import check_free, write_file


def test_writes_and_replaces_only_when_told(tmp_path):
    write_file(tmp_path / "folder" / "file", "old")
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_file(tmp_path / "folder" / "file", "new")
    assert (tmp_path / "folder" / "file").read_text() == "old"
    write_file(tmp_path / "folder" / "file", b"new", overwrite=True)
    write_file(tmp_path / "other", lambda file: file.write(b"by a writer"))
    assert (tmp_path / "folder" / "file").read_text() == "new"
    assert (tmp_path / "other").read_text() == "by a writer"
    assert (tmp_path / "other").stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder", "other"]


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(FileExistsError, match="is a folder"):
        check_free(tmp_path, overwrite=True)


def test_a_file_is_not_a_folder(tmp_path):
    write_file(tmp_path / "file", "good")
    with pytest.raises(NotADirectoryError, match=r"deep/new cannot be written: .*file is a file, not a folder"):
        check_free(tmp_path / "file" / "deep" / "new")
    check_free("new in the current folder")


def test_a_folder_that_takes_no_files_is_told(tmp_path, monkeypatch):
    def deny(**_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", deny)
    with pytest.raises(OSError, match=r"file could not be written \(Permission denied\)"):
        write_file(tmp_path / "file", "new")


@pytest.mark.parametrize("part", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, part):
    write_file(tmp_path / "file", "good")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, part, full)
    with pytest.raises(OSError, match=r"file could not be written \(No space left on device\)"):
        write_file(tmp_path / "file", "half", overwrite=True)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("file", "good")]


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_file(tmp_path / "new" / "file", lambda _: 1 / 0)
    assert not list(tmp_path.iterdir())


def test_the_name_appears_when_all_is_written(tmp_path, monkeypatch):
    seen, replace = [], os.replace

    def look(source, target):
        seen.append((os.path.exists(target), os.path.getsize(source)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", look)
    write_file(tmp_path / "file", "x" * 1000)
    assert seen == [(False, 1000)]
