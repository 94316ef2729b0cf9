"""Checks of files of `torch.save` before torch reads them.

`torch.load(weights_only=True)` executes no untrusted code, but it trusts the sizes in the file. It reads past the end
of a short record, unpacks records that are a thousand times larger than the file, returns uninitialized memory as
weights, and hashes tuples whose size doubles at each of sixty levels.
"""

from __future__ import annotations

import zipfile
from io import BytesIO
from typing import BinaryIO

import torch

from vig_pyg.checkpoints._pickle import MOST_PICKLE, Box, Machine

#: The first values in files of torch before version 1.6.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


def check_torch_file(file: BinaryIO, size: int) -> None:
    """Raise an error for a file of `torch.save` that is damaged, or needs far more memory or time than its size allows.

    Args:
        file: The open file at position 0, to which it is reset afterwards.

    Raises:
        HoldsMoreError: If reading would call something other than constructors of plain tensors.
        ValueError: If the file contains anything but plain tensors in plain containers, or a checksum is wrong.
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
    """Check the zip archive that torch writes since version 1.6, and the pickle in it."""
    entries = check_records(file, size)
    with zipfile.ZipFile(file) as archive:
        root = entries[0].filename.split("/")[0] if entries else ""
        sizes = {entry.filename.removeprefix(f"{root}/data/"): entry.file_size for entry in entries}
        if archive.getinfo(f"{root}/data.pkl").file_size > MOST_PICKLE:
            raise ValueError(f"its pickle is larger than {MOST_PICKLE} bytes")
        content = archive.read(f"{root}/data.pkl")
    Machine(size, sizes).run(BytesIO(content))


def check_records(file: BinaryIO, size: int) -> list[zipfile.ZipInfo]:
    """Check the records of an archive of torch, and return them.

    Raises:
        ValueError: If a record is compressed or has a wrong checksum, two records have the same name, or the records
            are larger than the file.
        zipfile.BadZipFile: If the archive is damaged.
    """
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        names = {entry.filename.lower() for entry in entries}  # torch ignores letter case in names
        if len(names) != len(entries):
            raise ValueError("two of its records have the same name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, but torch.save writes uncompressed records")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its records are larger than the file")
        if (wrong := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its record {wrong} differs")
    return entries


def _check_legacy(file: BinaryIO, size: int) -> None:
    """Check the format that torch wrote before version 1.6: five pickles, followed by the storages."""
    start = file.read(2 * MOST_PICKLE)  # a copy in memory; from the file itself, torch would read any length at once
    rest, file = size - len(start), BytesIO(start)
    head = Machine(size, {})
    if [head.run(file), head.run(file)] != [MAGIC, PROTOCOL]:
        raise ValueError("it does not start as files of torch.save do")
    head.run(file)  # this pickle describes the machine that wrote the file
    body, tail = Machine(size, None), Machine(size, {})
    body.run(file)
    keys = tail.run(file)
    names = keys.items if isinstance(keys, Box) else []
    if sorted(map(str, names)) != sorted(map(str, body.storages)):
        raise ValueError("it does not hold the storages of its tensors")  # torch would return uninitialized memory
    if sum(8 + count for count in body.storages.values()) > rest + len(start) - file.tell():
        raise ValueError("it is shorter than its tensors")


#: Where torch keeps the sparse tensors of a load, in newer versions for each thread, and in older ones (2.11) for all.
_UNREAD = (
    (getattr(torch.serialization, "_serialization_tls", None), "sparse_tensors_to_validate"),
    (torch._utils, "_sparse_tensors_to_validate"),
)


def forget_unread_tensors() -> None:
    """Remove the sparse tensors of a file that could not be read from the list of those that torch will validate.

    torch validates sparse tensors at the end of `torch.load`, and keeps those of a load that failed in between. So the
    next file of the same thread would be refused or warned about because of them.
    """
    for place, name in _UNREAD:
        left = getattr(place, name, None)
        if isinstance(left, list):
            left.clear()
