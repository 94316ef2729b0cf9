"""Files of `torch.save`, checked before torch reads them.

`torch.load(weights_only=True)` runs no code of a stranger, but it believes the sizes in the file: it reads past the end
of a short record, unpacks records that are a thousand times larger than the file, shows unwritten memory as weights,
and hashes tuples that double at each of sixty levels.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import BinaryIO

from vig_pyg.checkpoints._pickle import MOST_PICKLE, Box, Machine

#: What torch writes at the start of its older files.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def check_torch_file(file: BinaryIO, size: int) -> None:
    """Refuse a file of `torch.save` that is damaged, or would take more than its own size in memory or time.

    Args:
        file: The open file, at its start; it is there again afterwards.
        size: Its bytes.

    Raises:
        HoldsMoreError: If something would have to be called that makes no plain tensors.
        ValueError: If it is anything else than plain tensors in plain containers, or its checksums differ.
        zipfile.BadZipFile: If the archive is damaged.
    """
    if file.read(4) == b"PK\x03\x04":
        file.seek(0)
        _check_archive(file, size)
    else:
        file.seek(0)
        _check_legacy(file, size)
    file.seek(0)


def _check_archive(file: BinaryIO, size: int) -> None:
    """The zip archive that torch writes since 1.6: nothing in it is compressed."""
    entries = check_records(file, size)
    with zipfile.ZipFile(file) as archive:
        root = entries[0].filename.split("/")[0] if entries else ""
        sizes = {entry.filename.removeprefix(f"{root}/data/"): entry.file_size for entry in entries}
        if archive.getinfo(f"{root}/data.pkl").file_size > MOST_PICKLE:
            raise ValueError(f"its pickle is larger than {MOST_PICKLE} bytes")
        content = archive.read(f"{root}/data.pkl")
    Machine(size, sizes).run(BytesIO(content))


def check_records(file: BinaryIO, size: int) -> list[zipfile.ZipInfo]:
    """Return the records of an archive of torch; refuse what would unpack to more than the file, and wrong checksums.

    Args:
        file: The open file.
        size: Its bytes.

    Raises:
        ValueError: If it is refused.
        zipfile.BadZipFile: If the archive is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = {entry.filename.lower() for entry in entries}  # torch looks names up without regard to case
        if len(names) != len(entries):
            raise ValueError("two of its records have one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, and torch.save writes no records that are compressed")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its records are larger than the file")
        if (wrong := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its record {wrong} differs")
    return entries


def _check_legacy(file: BinaryIO, size: int) -> None:
    """The five pickles in a row, then storages, that torch wrote before 1.6."""
    start = file.read(2 * MOST_PICKLE)  # not the file itself, from which a false length would be read at once
    rest, file = size - len(start), BytesIO(start)
    head = Machine(size, {})
    if [head.run(file), head.run(file)] != [MAGIC, PROTOCOL]:
        raise ValueError("it does not start as files of torch.save do")
    head.run(file)  # about the machine that wrote it
    body, tail = Machine(size, None), Machine(size, {})
    body.run(file)
    keys = tail.run(file)
    names = keys.items if isinstance(keys, Box) else []
    if sorted(map(str, names)) != sorted(map(str, body.storages)):
        raise ValueError("it does not hold the storages of its tensors")  # torch would show unwritten memory
    if sum(8 + count for count in body.storages.values()) > rest + len(start) - file.tell():
        raise ValueError("it is shorter than its tensors")
