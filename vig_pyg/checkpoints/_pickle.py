"""Analysis of a pickle of `torch.save`, without executing it.

The instructions are executed on placeholders. A pickle is refused unless it only creates plain containers of plain
tensors whose data lies inside the file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, BinaryIO

#: Bytes of an element in each kind of storage.
STORAGES = {
    **{"Double": 8, "Float": 4, "Half": 2, "BFloat16": 2, "ComplexDouble": 16, "ComplexFloat": 8, "Untyped": 1},
    **{"Long": 8, "Int": 4, "Short": 2, "Char": 1, "Byte": 1, "Bool": 1},
}
#: The allowed callables, which create containers and tensors.
CALLS = {
    "collections.OrderedDict",
    "collections.Counter",
    "builtins.set",
    "__builtin__.set",
    "torch.Size",
    "torch.device",
    "_codecs.encode",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_parameter",
}
NEW = "argparse.Namespace"
DTYPES = {
    f"torch.{kind}"
    for kind in ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
} | {"torch.bool"}
#: Largest pickle in bytes, without the data of the tensors; those of Vision GNNs have less than a megabyte.
MOST_PICKLE = 4 * 2**20
#: Tensors may share data of the file (tied weights, `expand`). In memory they may have this many times the size of the
#: file, or this number of bytes.
MOST_TIMES, FREE_BYTES = 4, 16 * 2**20
#: Largest number of hashing steps per instruction of a pickle; nested tuples that repeat the same tuple could need
#: 2**60.
MOST_WORK = 64
#: Upper limit of counted costs; a cost that doubles at each step would otherwise become a very long number.
ENOUGH = 10**9
#: Largest number of dimensions, more than any tensor has.
MOST_SIDES = 64


class HoldsMoreError(ValueError):
    """A pickle calls something other than a constructor of plain tensors; the message is its name."""


@dataclass(frozen=True)
class _Name:
    """The name of an object in a module, which is not imported."""

    name: str


@dataclass(frozen=True, eq=False)
class _Tuple:
    """A tuple, with the number of steps for hashing or printing it; a shared part is counted each time."""

    items: list[Any]
    cost: int


@dataclass(eq=False)
class Box:
    """A container or a created object; for the data of a tensor, also its size in bytes and number of elements."""

    kind: str
    cost: int = 1
    items: list[Any] = field(default_factory=list)
    width: int = 0
    count: int = 0


def _cost(*things: Any) -> int:
    """Return the number of steps for hashing or printing these values."""
    return min(sum(thing.cost if isinstance(thing, _Tuple | Box) else 1 for thing in things), ENOUGH)


class Machine:
    """Executes, on placeholders, the instructions that `torch.load(weights_only=True)` supports.

    Args:
        size: Size of the file in bytes.
        records: Size in bytes of each record of the archive; `None` for files without records.
    """

    def __init__(self, size: int, records: Mapping[str, int] | None) -> None:
        self.size, self.records = size, records
        self.storages: dict[Any, int] = {}  # bytes of each storage that tensors require
        self.total = self.work = 0

    def run(self, file: BinaryIO) -> Any:
        """Execute one pickle, and return a placeholder of its result."""
        stack: list[Any] = []
        memo: dict[int, Any] = {}
        marks: list[list[Any]] = []
        start = file.tell()
        for steps, (code, given, at) in enumerate(pickletools.genops(file)):
            arg: Any = given
            if (at or 0) - start > MOST_PICKLE:
                raise ValueError(f"its pickle is larger than {MOST_PICKLE} bytes")
            name = code.name
            if name == "MARK":
                marks.append(stack)
                stack = []
            elif name in ("BINPUT", "LONG_BINPUT"):
                memo[arg] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(memo[arg])
            elif name in ("TUPLE", "APPENDS", "SETITEMS"):
                items, stack = stack, marks.pop()
                self._close(name, items, stack)
            elif name in _PUSH:
                stack.append(_PUSH[name](arg))
            elif name == "STOP":
                return stack.pop()
            elif name != "PROTO":
                self._step(name, stack)
            if self.work > MOST_WORK * (steps + 100):
                raise ValueError("its keys are nested tuples that would take too long to read")
        raise ValueError("its pickle has no end")

    def _close(self, name: str, items: list[Any], stack: list[Any]) -> None:
        """Execute an instruction that uses all values since the last mark."""
        if name == "TUPLE":
            stack.append(_Tuple(items, 1 + _cost(*items)))
        else:
            self._fill(stack[-1], items, pairs=name == "SETITEMS")

    def _fill(self, box: Any, items: list[Any], *, pairs: bool) -> None:
        if not isinstance(box, Box) or (box.kind == "list") == pairs:
            raise ValueError("it adds values to something that is not a container")
        if pairs:
            self.work += _cost(*items[::2])
        box.cost = _cost(box, *items)
        box.items += items

    def _step(self, name: str, stack: list[Any]) -> None:
        """Execute an instruction that uses a few values from the stack."""
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            items = stack[-count:]
            if len(items) < count:
                raise ValueError("its pickle is damaged")
            stack[-count:] = [_Tuple(items, 1 + _cost(*items))]
        elif name == "APPEND":
            item = stack.pop()
            self._fill(stack[-1], [item], pairs=False)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            self._fill(stack[-1], [key, value], pairs=True)
        elif name == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif name == "REDUCE":
            args = stack.pop()
            stack.append(self._call(stack.pop(), args))
        elif name == "NEWOBJ":
            args, kind = stack.pop(), stack.pop()
            if kind != _Name(NEW) or _cost(args) > 1:
                raise HoldsMoreError(getattr(kind, "name", "something"))
            stack.append(Box(NEW))
        elif name == "BUILD":
            state = stack.pop()
            if not isinstance(stack[-1], Box) or stack[-1].kind not in (NEW, "collections.OrderedDict"):
                raise HoldsMoreError(getattr(stack[-1], "kind", "something"))
            if stack[-1].kind != NEW and getattr(state, "items", [])[::2] != ["_metadata"]:
                raise ValueError("it changes the behavior of its containers")
            self.work += _cost(state)
            stack[-1].cost = _cost(stack[-1], state)
        else:
            raise ValueError(f"its pickle has the instruction {name}, which files of tensors do not have")

    def _call(self, function: Any, args: Any) -> Box:
        name = function.name if isinstance(function, _Name) else "something"
        if name not in CALLS or not isinstance(args, _Tuple):
            raise HoldsMoreError(name)
        self.work += args.cost
        if name == "_codecs.encode" and args.items[1:] != ["latin1"]:  # protocol 2 writes bytes in this form
            raise HoldsMoreError(name)
        if name == "torch._utils._rebuild_tensor_v2":
            self._count(*args.items[:4])
        return Box(name)

    def _count(self, storage: Any, offset: Any, shape: Any, strides: Any) -> None:
        """Add the size of a tensor in bytes, because a stride of 0 can make a huge tensor from one number."""
        sides, steps = (part.items if isinstance(part, _Tuple) else [None] for part in (shape, strides))
        whole = all(type(number) is int and number >= 0 for number in (offset, *sides, *steps))
        if not whole or not isinstance(storage, Box) or not len(sides) == len(steps) <= MOST_SIDES:
            raise ValueError("the shape of a tensor is damaged")
        last = offset + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
        if 0 not in sides and last >= storage.count:
            # For such a tensor, torch may return uninitialized memory.
            raise ValueError("a tensor extends beyond its storage")
        self.total += prod(sides) * storage.width
        if self.total > MOST_TIMES * self.size + FREE_BYTES:
            raise ValueError(f"its tensors take more than {MOST_TIMES} times the file's bytes in memory")

    def _storage(self, ident: Any) -> Box:
        """Check that the storage of a tensor lies inside the file."""
        parts = ident.items if isinstance(ident, _Tuple) else []
        if len(parts) not in (5, 6) or parts[0] not in ("storage", b"storage") or any(parts[5:]):
            raise ValueError("it contains a persistent ID that is not a tensor storage")
        kind, key, _, count = parts[1:5]
        name = kind.name.rsplit(".", 1)[-1].removesuffix("Storage") if isinstance(kind, _Name) else ""
        if name not in STORAGES or not isinstance(key, str | bytes) or type(count) is not int or count < 0:
            raise ValueError("the persistent ID of a tensor storage is damaged")
        there = self.size if self.records is None else self.records.get(str(key), -1)
        if not count * STORAGES[name] == self.storages.setdefault(key, count * STORAGES[name]) <= there:
            raise ValueError("it is shorter than its tensors")
        return Box("storage", width=STORAGES[name], count=count)


def _global(arg: str) -> _Name:
    """Return a name that the pickle imports, if the name is allowed."""
    module, _, name = arg.partition(" ")
    full = f"{module}.{name}"
    is_storage = module in ("torch", "torch.storage") and name in {f"{kind}Storage" for kind in STORAGES}
    if full not in CALLS | DTYPES | {NEW} and not is_storage:
        raise HoldsMoreError(full)
    return _Name(full)


def _itself(arg: Any) -> Any:
    return arg


#: Instructions that push a new value onto the stack.
_PUSH: dict[str, Callable[[Any], Any]] = {
    "GLOBAL": _global,
    "NONE": _itself,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "BININT": _itself,
    "BININT1": _itself,
    "BININT2": _itself,
    "LONG1": _itself,
    "BINFLOAT": _itself,
    "BINUNICODE": _itself,
    "SHORT_BINSTRING": _itself,
    "EMPTY_TUPLE": lambda _: _Tuple([], 1),
    "EMPTY_LIST": lambda _: Box("list"),
    "EMPTY_DICT": lambda _: Box("dict"),
    "EMPTY_SET": lambda _: Box("set"),
}
