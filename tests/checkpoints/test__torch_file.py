"""Hostile files of `torch.save`: nothing runs, nothing is read past its end, and nothing takes long."""

import random
import struct
import tarfile
import tracemalloc
import zipfile
from io import BytesIO

import numpy as np
import pytest
import torch

from tests.checkpoints.hostile import (
    archive,
    doubled,
    legacy,
    op_dict,
    op_global,
    op_int,
    op_storage,
    op_tensor,
    op_text,
    pickled,
)
from tests.weights.common import same
from vig_pyg import weights

PLAIN = {"a": torch.arange(4.0)}


def read(tmp_path, content):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return weights.read_state(path)


def refused(tmp_path, content, message):
    """What is refused, with the reason, in little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"(?s)weights\.pth .*{message}.*nothing in it was run"):
            read(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_what_is_written_by_hand_here_is_read():
    """The builders below make files that torch itself takes, so that the refusals are for what is wrong in them."""
    for content in (archive(pickled(op_dict(a=op_tensor()))), legacy(pickled(op_dict(a=op_tensor())))):
        assert torch.load(BytesIO(content), weights_only=True)["a"].shape == (4,)


def test_plain_files_are_read(tmp_path):
    assert same(read(tmp_path, archive(pickled(op_dict(a=op_tensor())))), PLAIN)
    got = read(tmp_path, legacy(GOOD, storages=((4, np.arange(4, dtype="<f4").tobytes()),)))
    assert same(got, PLAIN)


@pytest.mark.parametrize(
    "kind",
    ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex64"],
)
@pytest.mark.parametrize("legacy_format", [False, True])
def test_every_kind_of_number_is_read(tmp_path, kind, legacy_format):
    dtype = getattr(torch, kind)
    state = {"a": torch.tensor([[0, 1], [1, 0]]).to(dtype), "empty": torch.zeros(0, 3, dtype=dtype)}
    state["view"] = state["a"][1:].t()
    torch.save(state, tmp_path / "weights.pth", _use_new_zipfile_serialization=not legacy_format)
    assert same(weights.read_state(tmp_path / "weights.pth"), state)


@pytest.mark.parametrize("legacy_format", [False, True])
def test_what_checkpoints_hold_is_read(tmp_path, legacy_format):
    from argparse import Namespace
    from collections import Counter, OrderedDict

    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.randn(4, 2)).sum().backward()
    optimizer.step()
    state = {
        "state_dict": model.state_dict(),  # with its `_metadata`
        "optimizer": optimizer.state_dict(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "args": Namespace(lr=1e-3, betas=(0.9, 0.999), names=None),
        "meta": {
            "CLASSES": tuple(f"class {i}" for i in range(1000)),
            "bytes": b"\x00\xff",
            "big": 2**70,
            "set": {1, 2},
        },
        "counter": Counter("hello"),
        "ordered": OrderedDict(a=1),
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "nested": [[[(1, (2, (3, (4,))))]]],
        "keys": {(1, 2): "a", None: 0, 3.5: True},
        "expanded": torch.ones(1).expand(1000_000),  # some megabytes more than the file are free
    }
    state["tied"] = state["parameter"]
    torch.save(state, tmp_path / "weights.pth", _use_new_zipfile_serialization=not legacy_format)
    got = weights.read_state(tmp_path / "weights.pth")
    assert got.keys() == state.keys()
    assert same(got["state_dict"], state["state_dict"]) and got["args"] == state["args"]
    assert got["meta"] == state["meta"] and got["keys"] == state["keys"] and got["nested"] == state["nested"]


BOMBS = {
    "more numbers than the record": pickled(op_dict(a=op_tensor(shape=(10**6,), count=10**6))),
    "one number more": pickled(op_dict(a=op_tensor(shape=(5,), count=5))),
    "no such record": pickled(op_dict(a=op_tensor(key="7"))),
    "a record of the archive itself": pickled(op_dict(a=op_tensor(key="archive/version"))),
    "beyond 64 bits": pickled(op_dict(a=op_tensor(count=2**70))),
    "below zero": pickled(op_dict(a=op_tensor(count=-1))),
    "two widths": pickled(op_dict(a=op_tensor(), b=op_tensor(kind="DoubleStorage", count=4))),
    "one number repeated": pickled(op_dict(a=op_tensor(shape=(2**40,), stride=(0,)))),
    "in many sides": pickled(op_dict(a=op_tensor(shape=(1000,) * 9, stride=(0,) * 9))),
    "many sides": pickled(op_dict(a=op_tensor(shape=(1,) * 10**5, stride=(0,) * 10**5))),
    "many tensors of one": pickled(op_dict(**{f"a{i}": op_tensor(shape=(10**6,), stride=(0,)) for i in range(50)})),
    "outside": pickled(op_dict(a=op_tensor(offset=3))),
    "negative side": pickled(op_dict(a=op_tensor(shape=(-1, 4), stride=(1, 1)))),
    "doubling key": pickled(b"}", doubled(60), op_int(1), b"s"),
    "doubling keys": pickled(b"}(", doubled(60), op_int(1), b"u"),
    "doubling reference": pickled(b"}", op_text("a"), b"(", op_text("storage"), doubled(60), b"tQs"),
    "doubling argument": pickled(op_global("collections", "OrderedDict"), b"](]", doubled(60), b"aN\x86e\x85R"),
    "key of a wide tuple, often": pickled(
        b"(", op_int(1) * 3000, b"tq\x00}", b"".join(b"h\x00" + op_int(i) + b"s" for i in range(3000))
    ),
    "reference to something else": pickled(op_dict(a=b"(" + op_text("module") + b"NNNNtQ")),
    "no container": pickled(op_int(1), op_text("a"), op_int(2), b"s"),
    "a container with another method": pickled(
        op_global("collections", "OrderedDict"), b")R", op_dict(items=op_int(1)), b"b"
    ),
    "stack is empty": pickled(b"RRRR"),
    "unknown memo": pickled(b"h\x09"),
    "no end": b"\x80\x02}",
    "endless text": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "newer instructions": b"\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00}\x94.",
}


@pytest.mark.parametrize("legacy_format", [False, True])
@pytest.mark.parametrize("kind", BOMBS)
def test_a_pickle_that_would_take_what_it_does_not_have_is_refused(tmp_path, kind, legacy_format):
    refused(tmp_path, legacy(BOMBS[kind]) if legacy_format else archive(BOMBS[kind]), "is damaged")


CALLS = {
    "a size of its own": (("torch", "FloatStorage"), op_int(10**12)),
    "a tensor of its own": (("torch", "FloatTensor"), op_int(10**12)),
    "bytes": (("__builtin__", "bytearray"), op_int(10**12)),
    "a slow codec": (("_codecs", "encode"), op_text("ä" * 1000) + op_text("punycode")),
    "a codec of a stranger": (("_codecs", "encode"), op_text("a") + op_text("os")),
    "sparse": (("torch._utils", "_rebuild_sparse_tensor"), b"NN"),
    "quantized": (("torch._utils", "_rebuild_qtensor"), b"NN"),
    "meta": (("torch._utils", "_rebuild_meta_tensor_no_storage"), b"NN"),
    "a subclass": (("torch._utils", "_rebuild_wrapper_subclass"), b"NN"),
    "of numpy": (("numpy.core.multiarray", "scalar"), b"NN"),
    "of the system": (("os", "system"), op_text("true")),
}


@pytest.mark.parametrize("legacy_format", [False, True])
@pytest.mark.parametrize("kind", CALLS)
def test_a_call_that_makes_no_plain_tensor_is_refused_by_name(tmp_path, kind, legacy_format):
    (module, name), args = CALLS[kind]
    content = pickled(op_dict(a=op_global(module, name) + b"(" + args + b"tR"))
    content = legacy(content) if legacy_format else archive(content)
    refused(tmp_path, content, f"contains more than tensors: reading it would execute {module}.{name}")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: torch.eye(3).to_sparse(), "_rebuild_sparse_tensor"),
        (lambda: torch.eye(3).to_sparse_csr(), "_rebuild_sparse_tensor"),
        (lambda: torch.zeros(3, device="meta"), "_rebuild_meta_tensor_no_storage"),
        (lambda: np.float64(1.5), "numpy.*scalar"),
        (lambda: torch.nn.Linear(1, 1), "Linear"),
    ],
)
def test_what_torch_saves_beside_plain_tensors_is_named(tmp_path, make, message):
    buffer = BytesIO()
    torch.save({"a": make()}, buffer)
    refused(tmp_path, buffer.getvalue(), f"contains more than tensors: reading it would execute \\S*{message}")


GOOD = pickled(op_dict(a=op_tensor()))
ARCHIVES = {
    "zip bomb": (lambda: archive(GOOD, {"0": b"\0" * 2**26}, compression=zipfile.ZIP_DEFLATED), "it is compressed"),
    "compressed otherwise": (lambda: archive(GOOD, compression=zipfile.ZIP_LZMA), "it is compressed"),
    "two records of one name": (lambda: archive(GOOD, names=[("archive/DATA/0", b"\0" * 16)]), "have the same name"),
    "bomb in the pickle": (
        lambda: archive(pickled(op_int(1) * 10**6), compression=zipfile.ZIP_DEFLATED),
        "it is compressed",
    ),
    "overlapping records": (lambda: overlapping(), "larger than the file"),
    "a large pickle": (lambda: archive(pickled(b"]" + b"N" * (5 * 2**20))), "its pickle is larger than"),
    "checksum": (lambda: archive(GOOD).replace(np.float32(3).tobytes(), np.float32(4).tobytes()), "checksum"),
    "no pickle": (lambda: bytes_of_zip({"archive/data/0": b"1"}), "is damaged"),
    "nothing in it": (lambda: bytes_of_zip({}), "is damaged"),
    "another archive": (lambda: bytes_of_zip({"word/document.xml": b"<a>"}), "is damaged"),
    "torch's oldest format": (lambda: tar_bytes(), "is damaged"),
    "byte order": (lambda: archive(GOOD).replace(b"little", b"middle"), "checksum|is damaged"),
}


def bytes_of_zip(records):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, content in records.items():
            out.writestr(name, content)
    return buffer.getvalue()


def overlapping():
    """Two thousand records that are all the same bytes of the file."""
    whole = archive(GOOD, {"0": b"\0" * 4096})
    at = whole.index(b"PK\x01\x02")
    end = whole.rindex(b"PK\x05\x06")
    entries = [b"PK\x01\x02" + part for part in whole[at:end].split(b"PK\x01\x02")[1:]]
    big = next(entry for entry in entries if b"data/0" in entry)
    entries += [big.replace(b"data/0", f"data/{name:1x}".encode()) for name in range(1, 16)]
    directory = b"".join(entries)
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(entries), len(entries), len(directory), at, 0)
    return whole[:at] + directory + tail


def tar_bytes():
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as out:
        for name in ("storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = 3
            out.addfile(info, BytesIO(b"abc"))
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_is_not_as_torch_writes_it_is_refused(tmp_path, kind):
    make, message = ARCHIVES[kind]
    refused(tmp_path, make(), message)


LEGACY = {
    "a storage is not in it": (legacy(GOOD, keys=(), storages=()), "does not hold the storages of its tensors"),
    "another storage": (legacy(GOOD, keys=("1",)), "does not hold the storages of its tensors"),
    "cut short": (legacy(GOOD)[:-1], "shorter than its tensors"),
    "another length": (legacy(GOOD, storages=((3, b"\0" * 16),)), "is damaged"),
    "much longer": (legacy(GOOD, storages=((2**40, b"\0" * 16),)), "is damaged"),
    "a view of another": (
        legacy(GOOD).replace(b"NtQ", b"(" + op_text("1") + op_int(0) + op_int(1) + b"ttQ"),
        "a persistent ID that is not a tensor storage",
    ),
    "a pickle of Python's": (pickled(op_dict(a=op_int(1))), "is damaged"),
    "another version": (legacy(GOOD).replace(op_int(1001) + b".", op_int(1002) + b".", 1), "does not start as"),
}


@pytest.mark.parametrize("kind", LEGACY)
def test_an_old_file_that_is_not_as_torch_wrote_it_is_refused(tmp_path, kind):
    content, message = LEGACY[kind]
    refused(tmp_path, content, message)


def spoilt(content, draw):
    """A few bits turned, a part lost, doubled or overwritten."""
    content = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(content))
        how = draw.random()
        if how < 0.6:
            content[at] ^= 1 << draw.randrange(8)
        elif how < 0.75:
            content[at] = draw.randrange(256)
        elif how < 0.85:
            del content[at : at + draw.randint(1, 9)]
        elif how < 0.95:
            content[at:at] = content[at : at + draw.randint(1, 9)]
        else:
            del content[at + 1 :]
    return bytes(content)


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_with_random_damage_is_refused_or_read_as_it_was(tmp_path, form):
    """400 damaged files of each form. Only archives have a checksum of the numbers: elsewhere it is the shapes."""
    from safetensors.torch import save

    state = {"blocks.0.weight": torch.arange(6.0).view(2, 3), "bias": torch.ones(3), "count": torch.tensor(7)}
    buffer = BytesIO()
    if form == "safetensors":
        buffer.write(save(state))
    else:
        torch.save({"state_dict": state, "epoch": 3}, buffer, _use_new_zipfile_serialization=form == "zip")
    path, draw = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth"), random.Random(0)
    refusals = 0
    for _ in range(400):
        path.write_bytes(spoilt(buffer.getvalue(), draw))
        try:
            got = weights.unwrap_state_dict(weights.read_state(path))
        except ValueError as error:
            assert str(path) in str(error) or "state dict" in str(error)
            refusals += 1
            continue
        if form == "zip":
            assert same(got, state)
        else:
            assert all(tensor.nbytes <= 100 and tensor.sum() is not None for tensor in got.values())
    assert 100 < refusals < 400


@pytest.mark.parametrize("seed", range(4))
def test_random_pickles_are_refused_or_plain(tmp_path, seed):
    """Instructions in random order, 300 files: nothing but a refusal, or plain things."""
    draw = random.Random(seed)
    parts = [op_tensor(), op_dict(a=op_tensor()), op_int(3), op_text("a"), op_storage(), doubled(8), b"}", b"]", b"("]
    parts += [b"t", b"\x85", b"\x86", b"u", b"s", b"a", b"e", b"R", b"\x81", b"b", b"Q", b")", b"N", b"h\x00", b"q\x00"]
    parts += [op_global("argparse", "Namespace"), op_global("collections", "OrderedDict"), op_global("torch", "Size")]
    for _ in range(75):
        content = pickled(b"}", *draw.choices(parts, k=draw.randint(1, 12)))
        try:
            got = read(tmp_path, archive(content))
        except ValueError:
            continue
        assert isinstance(got, dict)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ('{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}', 8),
        (
            '{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}',
            24,
        ),
        ('{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}', 16),
        ('{"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,16]}}', 16),
        ('{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}', 16),
        ('{"a":{"dtype":"F32","shape":[4],"data_offsets":[16,0]}}', 16),
        ('{"a":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}}', 24),
        ('{"a":{"dtype":"X9","shape":[4],"data_offsets":[0,16]}}', 16),
        ('{"a":[]}', 0),
        ("[]", 0),
        ('{"a":', 0),
        ("\x80\x81", 0),
        ("[" * 100000, 0),
    ],
)
def test_a_header_of_safetensors_that_lies_is_refused(tmp_path, header, body):
    path, text = tmp_path / "weights.safetensors", header.encode("latin1")
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * body)
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged"):
        weights.read_state(path)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**31, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_another_length_is_refused(tmp_path, length):
    path, text = tmp_path / "weights.safetensors", b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    path.write_bytes(struct.pack("<Q", length) + text + b"\0" * 16)
    with pytest.raises(ValueError, match=r"weights\.safetensors is damaged"):
        weights.read_state(path)
