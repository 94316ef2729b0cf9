"""Files of weights that a stranger may send: written by hand, byte by byte, since `torch.save` would not."""

import io
import struct
import zipfile

import torch


def op_int(value):
    """An integer's instruction."""
    if 0 <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def op_text(text):
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def op_global(module, name):
    return b"c" + f"{module}\n{name}\n".encode()


def op_storage(kind="FloatStorage", key="0", count=4):
    """A reference to numbers in the record `data/KEY`."""
    parts = op_text("storage") + op_global("torch", kind) + op_text(key) + op_text("cpu") + op_int(count)
    return b"(" + parts + b"tQ"


def op_tensor(shape=(4,), stride=(1,), offset=0, **storage):
    """A call that makes a tensor."""
    sides = b"(" + b"".join(map(op_int, shape)) + b"t"
    steps = b"(" + b"".join(map(op_int, stride)) + b"t"
    hooks = op_global("collections", "OrderedDict") + b")R"
    rebuild = op_global("torch._utils", "_rebuild_tensor_v2")
    return rebuild + b"(" + op_storage(**storage) + op_int(offset) + sides + steps + b"\x89" + hooks + b"tR"


def op_dict(**values):
    return b"}(" + b"".join(op_text(key) + value for key, value in values.items()) + b"u"


def pickled(*ops):
    return b"\x80\x02" + b"".join(ops) + b"."


def archive(pickle, records=None, *, compression=zipfile.ZIP_STORED, names=()):
    """A file of `torch.save` with any pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as out:
        out.writestr("archive/data.pkl", pickle)
        out.writestr("archive/byteorder", "little")
        for name, content in ({"0": torch.arange(4.0).numpy().tobytes()} if records is None else records).items():
            out.writestr(f"archive/data/{name}", content)
        for name, content in names:
            out.writestr(name, content)
        out.writestr("archive/version", "3\n")
    return buffer.getvalue()


def legacy(body, keys=("0",), storages=((4, b"\0" * 16),)):
    """A file as torch wrote them before 1.6."""
    head = pickled(b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little"), b"") + pickled(op_int(1001))
    info = pickled(op_dict(protocol_version=op_int(1001), little_endian=b"\x88"))
    tail = pickled(b"](" + b"".join(map(op_text, keys)) + b"e")
    numbers = b"".join(struct.pack("<q", count) + content for count, content in storages)
    body = body.replace(b"tQ", b"NtQ")  # here references say also of which storage this one is a view: of none
    return head + info + body + tail + numbers


def doubled(levels):
    """A tuple of two times the same tuple, many levels deep: its hash would take 2**levels steps."""
    return op_int(1) + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(levels))
