import io
import struct
import tarfile

import numpy as np
import pytest

from tests.classification.readers.shards import write_tar
from vig_pyg.classification.readers._tar import DamagedTarError, members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def found(path):
    content = path.read_bytes()
    return [(member.name, content[member.offset : member.offset + member.size]) for member in members(path)]


def some_files(rng, format):
    names = ["a.jpg", "./folder/b.c.png", "x" * 90 + ".cls", "deep/" * 30 + "c.jpg"]
    if format != "ustar":
        names += ["y" * int(rng.integers(101, 700)) + ".jpg", "ä/ü名.png", "z" * 99 + "ß.cls"]
    rng.shuffle(names)
    return [(name, rng.bytes(int(rng.choice([0, 1, 511, 512, 513, 3000])))) for name in names]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("seed", range(8))
def test_files_and_places_are_those_of_tarfile(tmp_path, format, seed):
    files = some_files(np.random.default_rng(seed), format)
    path = write_tar(tmp_path / "a.tar", files, format=FORMATS[format])
    assert found(path) == files
    with tarfile.open(path) as archive:
        assert [(m.name, m.offset, m.size) for m in members(path)] == [
            (m.name, m.offset_data, m.size) for m in archive.getmembers()
        ]


def test_sizes_and_names_of_extended_headers(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a.png", "b.png"):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = 5, {"comment": "x" * 300, "mtime": "1.5", "size": "5", "path": f"in/{name}"}
            archive.addfile(info, io.BytesIO(b"12345"))
    assert found(tmp_path / "a.tar") == [("in/a.png", b"12345"), ("in/b.png", b"12345")]


def header(name=b"a.png", size=b"%011o\0" % 4, kind=b"0", link=b""):
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148] = size, b"%011o\0" % 0
    block[156:157], block[157:257] = kind, link.ljust(100, b"\0")
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def negative(number):
    return b"\xff" + struct.pack(">11s", (256**11 + number).to_bytes(11, "big"))


END = bytes(1024)
EIGHT, TWELVE = (b"%011o\0" % size for size in (8, 12))
DATA = b"1234".ljust(512, b"\0")
HOSTILE = {
    "negative size": (header(size=negative(-512)) + END, "it is cut short"),
    "negative size of a long name": (header(size=negative(-1), kind=b"L") + END, "it is cut short"),
    "size beyond the end": (header(size=b"%011o\0" % (1 << 32)) + DATA + END, "it is cut short"),
    "enormous size": (header(size=b"\x80" + b"\xff" * 11) + DATA + END, "it is cut short"),
    "long long name": (header(size=b"%011o\0" % (1 << 20), kind=b"L") + bytes(1 << 20) + END, "a header has 1048576"),
    "checksum": (b"b" + header()[1:] + DATA + END, "header at byte 0 is damaged"),
    "second checksum": (header() + DATA + b"b" + header()[1:] + DATA + END, "header at byte 1024 is damaged"),
    "no end": (header() + DATA, "its end is missing"),
    "half a header": (header() + DATA + header()[:300], "its end is missing"),
    "nothing": (b"", "its end is missing"),
    "no archive": (b"\x1f\x8b" + bytes(range(250)) * 4, "header at byte 0 is damaged"),
    "digits without an end": (header(size=b"%011o\0" % 65536, kind=b"x") + b"1" * 65536 + END, "names and sizes"),
    "record of length 0": (header(size=EIGHT, kind=b"x") + b"0 a=b\n\0\0".ljust(512, b"\0") + END, "names and"),
    "record too long": (header(size=EIGHT, kind=b"x") + b"99 a=b\n".ljust(512, b"\0") + END, "names and sizes"),
    "size of letters": (header(size=TWELVE, kind=b"x") + b"12 size=1e3\n".ljust(512, b"\0") + END, "not a number"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_archives_are_named(tmp_path, name):
    content, reason = HOSTILE[name]
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(DamagedTarError, match=reason):
        list(members(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    ("block", "fault"),
    [
        (header(b"../a.png"), "leaves the archive"),
        (header(b"b/../../a.png"), "leaves the archive"),
        (header(b"/etc/a.png"), "leaves the archive"),
        (header(b"..\\a.png"), "leaves the archive"),
        (header(b"C:\\a.png"), "leaves the archive"),
        (header(kind=b"1", link=b"b.png"), "a link"),
        (header(kind=b"2", link=b"/etc/passwd"), "a link"),
        (header(kind=b"3"), "a device"),
        (header(kind=b"6"), "a device"),
        (header(kind=b"S"), "a sparse file"),
    ],
)
def test_members_that_must_not_be_used(tmp_path, block, fault):
    content = DATA if block[156:157] in b"0S" else b""
    (tmp_path / "a.tar").write_bytes(block + content + header(b"good.png") + DATA + END)
    first, second = members(tmp_path / "a.tar")
    assert fault in first.fault and (second.name, second.fault) == ("good.png", "")


def test_random_damage_is_named_or_harmless(tmp_path):
    """Bytes are changed, removed or repeated anywhere: the places stay within the file, and every pass ends."""
    rng, path = np.random.default_rng(0), tmp_path / "a.tar"
    read = refused = 0
    for i in range(600):
        format = list(FORMATS)[i % 3]
        content = bytearray(write_tar(path, some_files(rng, format), format=FORMATS[format]).read_bytes())
        for _ in range(int(rng.integers(1, 9))):
            place = int(rng.integers(len(content)))
            kind = rng.integers(3)
            if kind == 0:
                content[place] = int(rng.integers(256))
            elif kind == 1:
                del content[place : place + int(rng.integers(1, 700))]
            else:
                content[place:place] = content[place : place + int(rng.integers(1, 700))]
            if not content:
                break
        path.write_bytes(content)
        try:
            for member in members(path):
                assert 0 <= member.offset <= member.offset + member.size <= len(content)
            read += 1
        except DamagedTarError:
            refused += 1
    assert read > 50 and refused > 200
