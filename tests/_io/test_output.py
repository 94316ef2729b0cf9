import errno
import os
import resource
import shutil
import socket
from itertools import product
from pathlib import Path

import pytest

from vig_pyg._io import _output_checks, output
from vig_pyg._io.output import check_free, check_new_folder, check_no_input, new_folder, write_file


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


def tree(root):
    """All that is in a folder, links as links."""
    return {str(p.relative_to(root)): os.readlink(p) if p.is_symlink() else p.is_file() for p in root.rglob("*")}


def make_link(target):
    return lambda path: path.symlink_to(target)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


#: Things that may have the name already, and what is said of them.
IN_THE_WAY = {
    "file": (lambda path: path.write_text("old"), "exists already"),
    "protected file": (lambda path: (path.write_text("old"), path.chmod(0o444)), "exists already"),
    "folder": (Path.mkdir, "is a folder"),
    "link to a file": (make_link("precious"), "is a symbolic link to precious"),
    "link to a folder": (make_link("."), "is a symbolic link"),
    "link to nothing": (make_link("nowhere"), "is a symbolic link to nowhere"),
    "link to itself": (make_link("it"), "is a symbolic link to it"),
    "link to a device": (make_link("/dev/null"), "is a symbolic link to /dev/null"),
    "pipe": (os.mkfifo, "is a pipe"),
    "socket": (make_socket, "is a socket"),
}


@pytest.mark.parametrize(("kind", "overwrite"), list(product(IN_THE_WAY, (False, True))))
def test_only_a_file_is_replaced_and_only_when_told(tmp_path, monkeypatch, kind, overwrite):
    monkeypatch.chdir(tmp_path)  # names of sockets must be short
    (tmp_path / "precious").write_text("precious")
    path, (make, said) = Path("it"), IN_THE_WAY[kind]
    make(path)
    before, inode = tree(tmp_path), os.lstat(path).st_ino
    if overwrite and kind == "file":
        write_file(path, "new", overwrite=True)
        assert path.read_text() == "new"
    elif not (overwrite and kind == "protected file"):  # root may write to it
        for call in (check_free, lambda path, overwrite: write_file(path, "new", overwrite=overwrite)):
            with pytest.raises(FileExistsError, match=said):
                call(path, overwrite=overwrite)
        assert os.lstat(path).st_ino == inode
    assert tree(tmp_path) == before and (tmp_path / "precious").read_text() == "precious"
    for call in (check_new_folder, lambda path: new_folder(path).__enter__()):
        with pytest.raises(FileExistsError, match=r"exists already|symbolic link"):
            call(path)
    assert tree(tmp_path) == before


def test_what_the_system_protects_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "it").write_text("old")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="it is write-protected"):
        check_free(tmp_path / "it", overwrite=True)


@pytest.mark.parametrize("name", ["/dev/null", "/dev/stdout", "/dev/full"])
def test_devices_are_no_outputs(name):
    with pytest.raises(FileExistsError, match=f"{name} is a (device|symbolic link)"):
        check_free(name, overwrite=True)


@pytest.mark.parametrize("deep", ["", "new/", "new/deep/"])
@pytest.mark.parametrize("call", [check_free, check_new_folder, lambda path: write_file(path, "new")])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a\0b", "NUL"),
        ("x" * 256, "too long"),
        ("\u20ac" * 100, "too long"),
        ("/".join(["x" * 200] * 30), "too long|does not"),
        ("\ud800", "cannot be the name"),
        ("x" * 300 + "/y", "too long"),
    ],
)
def test_names_that_cannot_be_are_refused_in_one_short_line(tmp_path, monkeypatch, deep, call, name, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OSError, match=said) as error:
        call(deep + name)
    text = str(error.value)
    assert "\n" not in text and "\0" not in text and "[Errno" not in text and len(text) < 300
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x" * 255, "\u20ac" * 85, "-", "~", " ", "a\nb", "CON", "a:b", "\udcff"])
def test_names_that_can_be_are_written(tmp_path, name):
    check_free(tmp_path / name)
    write_file(tmp_path / name, "new")
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["CON", "nul.txt", "deep/com1/x", "a:b", "what?", "end.", "end ", "a|b"])
def test_names_that_windows_knows_otherwise_are_refused_there(name):
    with pytest.raises(OSError, match="on Windows"):
        _output_checks._check_windows_name(Path.cwd() / name)
    _output_checks._check_windows_name(Path.cwd() / "fine.json")


def test_no_folder_is_made_below_what_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to("not there")
    (tmp_path / "round").symlink_to("round")
    before = tree(tmp_path)
    for name in ("file", "nowhere", "round"):
        for call in (check_free, check_new_folder, lambda path: write_file(path, "new")):
            with pytest.raises(OSError, match=name):
                call(tmp_path / name / "deep" / "new")
    assert tree(tmp_path) == before


def test_a_folder_behind_a_link_takes_files(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link" / "new" / "file", "text")
    assert (tmp_path / "real" / "new" / "file").read_text() == "text"


@pytest.mark.parametrize("call", [check_free, check_new_folder])
def test_a_place_that_takes_no_files_is_told_before_the_work_to_root_too(tmp_path, monkeypatch, call):
    with pytest.raises(OSError, match="no file can be created in /proc"):
        call("/proc/new/file")

    def readonly(**_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", readonly)
    with pytest.raises(OSError, match=r"no file can be created in .* \(Read-only file system\)") as error:
        call(tmp_path / "new" / "file")
    assert error.value.errno == errno.EROFS


@pytest.mark.parametrize("call", [check_free, check_new_folder])
def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path, monkeypatch, call):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 5 * 10**6, 5 * 10**6))
    call(tmp_path / "new" / "file", size=5 * 10**6)
    with pytest.raises(OSError, match=r"needs about 2\.5 GB, but only 5\.0 MB are free at .*") as error:
        call(tmp_path / "new" / "file", size=2_500_000_000)
    assert error.value.errno == errno.ENOSPC


#: Calls of the system on the way; an error or a signal may come at each.
CALLS = ["os.mkdir", "tempfile.mkstemp", "os.fsync", "os.chmod", "os.replace"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device"), MemoryError])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_whatever_comes_between_leaves_nothing(tmp_path, monkeypatch, call, late, error):
    """Before a call, or when it is done but for its last step."""
    owner, name = call.split(".")
    original = getattr({"os": os, "tempfile": output.tempfile}[owner], name)

    def fail(*args, **kwargs):
        if late and name != "mkstemp":  # no handle of its file would come back
            original(*args, **kwargs)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr({"os": os, "tempfile": output.tempfile}[owner], name, fail)
        with pytest.raises(error if isinstance(error, type) else OSError):
            write_file(tmp_path / "new" / "deep" / "file", "content")
    assert tree(tmp_path) in ({}, {"new": False, "new/deep": False, "new/deep/file": True})
    if (tmp_path / "new").exists():
        assert late and name == "replace"  # it was all done
    write_file(tmp_path / "new" / "deep" / "file", "content", overwrite=True)


def test_a_disk_that_is_full_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"file could not be written \(File too large\)"):
            write_file(tmp_path / "new" / "file", b"x" * 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_folder_that_was_not_filled_is_gone_with_those_above_it(tmp_path, error):
    (tmp_path / "there").mkdir()
    for name in ("new", "there/new", "a/b/new"):
        with pytest.raises(error), new_folder(tmp_path / name) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").write_text("half")
            raise error
        assert tree(tmp_path) == {"there": False}
    with pytest.raises(error), new_folder(tmp_path / "a" / "b", keep=lambda: True) as folder:
        (folder / "file").write_text("good")
        raise error
    assert tree(tmp_path) == {"there": False, "a": False, "a/b": False, "a/b/file": True}


def test_a_folder_that_somebody_else_has_made_meanwhile_stays_his(tmp_path, monkeypatch):
    monkeypatch.setattr(output, "check_new_folder", lambda path: None)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "his").write_text("")
    with pytest.raises(FileExistsError, match="could not be written"), new_folder(tmp_path / "a"):
        pass
    assert (tmp_path / "a" / "his").exists()


def test_a_partial_file_of_a_killed_process_is_in_nobodys_way(tmp_path):
    (tmp_path / ".file-abcdefgh").write_text("half")
    write_file(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text() == "whole"


@pytest.mark.parametrize("make", [None, os.link, os.symlink])
def test_a_result_never_replaces_what_is_read(tmp_path, make):
    photo, other = tmp_path / "photo.jpg", tmp_path / "old.json"
    photo.write_text("photo")
    other.write_text("result of before")
    out = tmp_path / "out.jpg" if make else tmp_path / "." / "photo.jpg"
    if make:
        make(photo, out)
    with pytest.raises(ValueError, match=r"photo\.jpg, which is an input: choose another name"):
        check_no_input([None, other, out], [tmp_path / "nothing", photo])
    check_no_input([None, other, tmp_path / "new"], [photo, out, "\0", "x" * 300])
