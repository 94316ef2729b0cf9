"""Reading of untrusted YAML files in bounded time and memory, with PyYAML's safe loader, which executes no code.

The limits are those for JSON. They also apply to the document with all aliases expanded.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from vig_pyg._io.bounded_json import DEPTH_LIMIT, DIGITS_LIMIT, kind_of, read_bounded
from vig_pyg._io.text import error_text, terminal_text

#: Largest document in bytes; PyYAML reads about 100 kB per second.
YAML_LIMIT = 64 * 2**10
#: Largest number of values of a document with all aliases expanded.
NODE_LIMIT = 20_000


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read the entries of a YAML file; keys are converted to text.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is too large, nested too deeply, not plain YAML or not a mapping, if it contains a key
            twice, or if its expanded aliases exceed the limit. The message has the name of the file.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "mine.yaml").write_text("epochs: 30")
        ...     read_yaml(Path(folder) / "mine.yaml")
        {'epochs': 30}
    """
    content = parse_yaml(read_bounded(path, limit=YAML_LIMIT), where=str(path))
    if not isinstance(content, dict):
        raise ValueError(f"{path} must contain a mapping from keys to values, got {kind_of(content)}.")
    return {str(key): value for key, value in content.items()}


def parse_yaml(text: str, *, where: str) -> Any:
    """Parse a YAML document.

    Raises:
        ValueError: If the document is too large, nested too deeply or not plain YAML, if it contains a key twice, or if
            its expanded aliases exceed the limit.

    Example:
        >>> parse_yaml("k: [3, 9]", where="the example")
        {'k': [3, 9]}
    """
    if len(text) > YAML_LIMIT:
        raise ValueError(f"{where} is larger than {YAML_LIMIT / 2**10:.0f} KiB, expected a few settings.")
    try:
        return yaml.load(text, Loader=BoundedLoader)  # `BoundedLoader` is a safe loader
    # Invalid dates raise ValueError.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{where} is not plain YAML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Return what is wrong, and in which line; the text of the parser repeats the line, with marks below it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return error_text(error, limit=300)
    start = f"{error.context} ({_place(error.context_mark)}), " if error.context and error.context_mark else ""
    problem = str(error.problem).replace("'<stream end>'", "the end of the file")
    return terminal_text(f"{start}{problem} ({_place(error.problem_mark)})", limit=300)


def _place(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}"


class BoundedLoader(yaml.SafeLoader):
    """A loader of plain values, lists and mappings; each alias is counted like the value to which it refers."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.depth = 0
        self.count = 0  # number of nodes so far, with expanded aliases
        self.sizes: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            node = super().compose_node(parent, index)
            if id(node) not in self.sizes:
                raise ValueError("an alias refers to a value that contains the alias.")
            self._add(self.sizes[id(node)])
            return node
        self.depth += 1
        if self.depth > DEPTH_LIMIT:
            raise ValueError(f"it is nested too deeply ({DEPTH_LIMIT} levels are allowed).")
        before = self.count
        self._add(1)
        node = super().compose_node(parent, index)
        self.sizes[id(node)] = self.count - before
        self.depth -= 1
        return node

    def _add(self, count: int) -> None:
        self.count += count
        if self.count > NODE_LIMIT:
            raise ValueError(f"it contains more than {NODE_LIMIT} values after expansion of aliases.")

    def construct_scalar(self, node: Any) -> Any:
        if len(node.value) > DIGITS_LIMIT and node.tag == "tag:yaml.org,2002:int":
            raise ValueError(f"a number has {len(node.value)} digits, expected at most {DIGITS_LIMIT}.")
        return super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, _ in node.value:
                if key.value in seen and isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    raise ValueError(f"the key {terminal_text(key.value, limit=60)!r} occurs twice.")
                if isinstance(key, yaml.ScalarNode):
                    seen.add(key.value)
        return super().construct_mapping(node, deep)


# PyYAML follows YAML 1.1, in which 1e-3 is text; in YAML 1.2 it is a number
BoundedLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)
