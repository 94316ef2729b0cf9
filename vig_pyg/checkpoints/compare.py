"""Comparison of the options of weights and model that affect the outputs but not the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from vig_pyg.checkpoints.metadata import describe, place_of
from vig_pyg.config import ModelConfig, PyramidViGConfig
from vig_pyg.conv import CONVS
from vig_pyg.graph import GRAPHS, each_graph, has_stages, stage_graphs

#: The options on which the neighbors depend, by graph name. A graph of the user may depend on k and dilation.
_OF_GRAPH: dict[str, tuple[str, ...]] = {
    "knn": ("k", "dilation", "position"),
    "window": ("k", "dilation", "window", "shift", "adaptive"),
    "window_dilated": ("k", "dilation"),
    "lookahead": ("k", "dilation", "position"),
    "random": ("k",),
    "axial": (),
    "axial_rings": ("dilation", "hops"),
    "axial_threshold": ("dilation", "hops"),
    "cross": ("dilation", "hops"),
    "log": (),
    "log_rings": (),
    "grid": (),
    "complete": (),
}
#: Options among these that not every family has.
_OF_FAMILY = ("hops", "window", "shift", "adaptive")


class Difference(NamedTuple):
    """One field of the configuration, with its value in the weights and in the model.

    Example:
        >>> str(Difference("k", 9, 18))
        'k=9 in the weights, 18 here'
    """

    field: str
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.field}={self.theirs!r} in the weights, {self.ours!r} here"


class Comparison(NamedTuple):
    """The differences between the options of weights and model, and the fields that the weights do not record.

    The size of the grid limits the dilation. If the limits differ, `grid_note` describes this; otherwise it is empty.
    It is not a difference between the configurations, and the note about a resized position embedding also shows it.
    """

    differences: tuple[Difference, ...]
    unknown: tuple[str, ...]
    grid_note: str = ""


def compare(theirs: Mapping[str, Any], config: ModelConfig) -> Comparison:
    """Compare the configuration recorded with weights with that of a model.

    Args:
        theirs: Fields that are recorded with the weights (see `describe`); may be empty.

    Returns:
        The differences that do not appear in shapes: `conv`, `graph`, `reduce_ratios`, and for graphs that use them,
        `k`, `dilation` and `position`. Options that affect only training (`stochastic`, `drop_path_rate`, ...) may
        differ.

    Example:
        >>> from vig_pyg import vig_micro
        >>> str(compare({"conv": "mr"}, vig_micro(conv="edge").config).differences[0])
        "conv='mr' in the weights, 'edge' here"
    """
    ours = describe(config)
    names = ["conv", "graph"] + ["reduce_ratios"] * isinstance(config, PyramidViGConfig)
    unnamed = None in (theirs.get("graph"), ours["graph"])
    if unnamed or _same_graphs(theirs["graph"], ours["graph"]):
        graphs = each_graph(ours["graph"])
        of_graphs = (name for graph in graphs for name in _OF_GRAPH.get(str(graph), ("k", "dilation")))
        names += [name for name in dict.fromkeys(of_graphs) if name not in _OF_FAMILY or name in ours]
        if "window" in graphs and "window" in ours and "position" not in names:
            names.append("position")  # the windows of WiGNet have positions
    if not isinstance(config, PyramidViGConfig) and ours["position"] is theirs.get("position") is None:
        names = [name for name in names if name != "position"]  # a ViG has no option `position`
    unknown = [name for name in names if not _said(name, theirs, ours)]
    known = [name for name in names if name not in unknown]
    found = [
        Difference(name, theirs[name], ours[name])
        for name in known
        if name not in ("k", "dilation") and not (_same_graphs if name == "graph" else _same)(theirs[name], ours[name])
    ]
    of_blocks, note = _neighbors(theirs, config, known)
    return Comparison((*found, *of_blocks), tuple(unknown), note)


def _said(name: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """True if both values are known; a callable without a name counts as unknown."""
    return name in theirs and (name not in ("conv", "graph") or None not in (theirs[name], ours[name]))


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, str) and isinstance(two, str):
        return any(_same_name(first, second) for first in _names(one) for second in _names(two))
    return _plain(one) == _plain(two)


def _same_graphs(one: Any, two: Any) -> bool:
    """True if two values of `graph` mean the same graphs; one graph for all stages equals a list that repeats it."""
    count = next((len(value) for value in (one, two) if has_stages(value)), 1)
    if any(has_stages(value) and len(value) != count for value in (one, two)):
        return False
    return count > 0 and all(map(_same, stage_graphs(one, count), stage_graphs(two, count)))


def _names(name: str) -> list[str]:
    """Return the name of an operator or graph, and where the object that is registered under this name is defined."""
    places = [place_of(registry[name]) for registry in (CONVS, GRAPHS) if name in registry]
    return [name.replace(":", "."), *(place for place in places if place)]  # `my_ops:MyConv` is an import path


def _same_name(one: str, two: str) -> bool:
    # a class that is defined in a script has another module name if the script is imported
    ends = {text.removeprefix("__main__") for text in (one, two) if text.startswith("__main__.")}
    return one == two or any(all(text.endswith(end) for text in (one, two)) for end in ends)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value


def _neighbors(theirs: Mapping[str, Any], config: ModelConfig, known: list[str]) -> tuple[list[Difference], str]:
    """Return the differences in k and dilation of any block, and a note if only the grid changes the dilation."""
    try:
        k = _pair(theirs["k"]) if "k" in known else config.k_range
        dilation = theirs["dilation"] is True if "dilation" in known else config.dilation
        image_size = int(theirs.get("image_size", config.image_size))
        there = replace(config, k=k, dilation=dilation, image_size=image_size)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"The configuration recorded with the weights is damaged ({error}).") from error
    at_our_grid, ours = replace(there, image_size=config.image_size), config.neighbors()
    found = []
    if [k for k, _ in there.neighbors()] != [k for k, _ in ours]:
        found.append(Difference("k", theirs["k"], config.k))
    elif at_our_grid.neighbors() != ours:
        found.append(Difference("dilation", dilation, config.dilation))
    elif "dilation" in known and there.neighbors() != ours:
        most, here = (max(dilation for _, dilation in blocks) for blocks in (there.neighbors(), ours))
        return [], (
            f"The largest dilation of the neighbors is {here}, and was {most} in the training of the weights: it "
            f"follows from the number of patches of image_size={config.image_size}, which was {image_size} there."
        )
    return found, ""


def _pair(value: Any) -> tuple[int, int]:
    first, last = value if isinstance(value, (list, tuple)) else (value, value)
    if not (type(first) is int and type(last) is int):
        raise TypeError(f"k={value!r}")
    return first, last
