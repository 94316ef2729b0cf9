"""Values that a hostile or careless hand puts into a file of settings."""

import copy
import json

#: Any place of a file may hold one of these.
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    1,
    7,
    10**9,
    10**12,
    10**18,
    -(10**18),
    0.5,
    -0.5,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "mr",
    "../../etc/passwd",
    "https://example.invalid/weights.pth",
    "\x1b[2J\x1b]0;title\x07",
    "\u202egpj.exe",
    "\ud800",
    "x" * 10_000,
    "9",
    [],
    [1],
    [[]],
    ["a"] * 3,
    [10**9] * 8,
    list(range(1000)),
    {},
    {"a": 1},
    {"__class__": "os.system"},
]
#: Names of entries that are none, or are dangerous as keyword arguments.
KEYS = ["weights", "self", "__init__", "name", "config", "variant", "kind", "", "\x1b[2J", "k ", "K", "0"]


def places(content, path=()):
    """The paths of all values."""
    yield path
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in parts:
        yield from places(value, (*path, key))


def mutated(content, draw):
    """A copy of a JSON-like mapping with one to three changes: a value replaced, removed, added, nested or repeated."""
    made = copy.deepcopy(content)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        path = draw.choice([path for path in places(made) if path])
        owner = made
        for key in path[:-1]:
            owner = owner[key]
        kind = draw.choice(["replace"] * 6 + ["remove", "add", "nest", "repeat"])
        if kind == "replace":
            owner[path[-1]] = copy.deepcopy(draw.choice(VALUES))
        elif kind == "remove":
            del owner[path[-1]]
        elif kind == "add" and isinstance(owner, dict):
            owner[draw.choice(KEYS)] = copy.deepcopy(draw.choice(VALUES))
        elif kind == "nest":
            for _ in range(draw.choice([1, 30])):
                owner[path[-1]] = [owner[path[-1]]]
        elif kind == "repeat":
            owner[path[-1]] = [owner[path[-1]]] * draw.choice([2, 1000])
        if not isinstance(made, dict) or not made:
            return made
    return made


def mutated_text(content, draw):
    """A JSON text with a change of letters, cut short, or of a changed content."""
    text = json.dumps(content if draw.random() < 0.5 else mutated(content, draw))
    kind = draw.choice(["letters", "cut", "twice", "digits"])
    at = draw.randrange(len(text))
    if kind == "letters":
        return text[:at] + draw.choice('{}[]",:0-eE.\\\x00\x1b') + text[at + draw.choice([0, 1]) :]
    if kind == "cut":
        return text[:at]
    if kind == "twice":
        return text[:-1] + "," + text[1:]
    return text[:at] + "9" * 5000 + text[at:]
