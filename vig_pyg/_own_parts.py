"""Errors of the operators and graph builders of a Grapher that name the part, its place, and what is expected.

Operators and graphs may be the user's own (`conv=MyConv`, `--conv my_ops:MyConv`, `register_conv`). Python's errors
about their signatures name neither the part nor what calls it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from vig_pyg._registry import Registry
from vig_pyg.conv import CONVS, ConvFactory
from vig_pyg.graph import GRAPHS, Builder, GraphFactory, Lookahead, Reuse
from vig_pyg.graph.lookahead import LookaheadGraph
from vig_pyg.graph.reuse import Reused

#: The errors of a wrong signature, of a wrong type, and of a constructor that does not call `super().__init__()`.
FAULTS = (TypeError, AttributeError)
#: What the factories must be, and what a builder must return.
OPERATOR = "a callable (in_channels, out_channels) -> Module"
BUILDER = "a callable (k, dilation) -> builder"
EDGES = "edge_index (2, E) of int64, or a pair (edge_index, edge_attr)"


def new_builder(factory: GraphFactory, k: int, dilation: int, place: str) -> Builder:
    """Create a graph builder; an error about the signature of the user's own factory or builder names it.

    Example:
        >>> new_builder(lambda k: None, 9, 1, "a Grapher")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        TypeError: The graph <lambda> failed when a Grapher called it with (k=9, dilation=1): ...
    """
    own: Any = factory
    while isinstance(own, Reuse | Lookahead):
        own = own.factory
    name = own if isinstance(own, str) else _name(own, GRAPHS)
    builder: Builder = _create(factory, f"The graph {name}", place, {"k": k, "dilation": dilation}, BUILDER)
    inner: Any = builder
    while isinstance(inner, Reused | LookaheadGraph):
        inner = inner.builder
    _check_call(inner, f"The builder of the graph {name}", place, ("x", "layout", "x_src", "layout_src"), EDGES)
    return builder


def new_operator(factory: ConvFactory, in_channels: int, out_channels: int, place: str) -> nn.Module:
    """Create an operator; an error about the signature of the user's own factory or operator names it.

    Example:
        >>> new_operator(nn.Linear, 8, 16, "a Grapher")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        TypeError: The operator Linear is called by a Grapher with (x, edge_index), but its forward takes ...
    """
    what = f"The operator {_name(factory, CONVS)}"
    conv = _create(factory, what, place, {"in_channels": in_channels, "out_channels": out_channels}, OPERATOR)
    if not isinstance(conv, nn.Module):
        raise TypeError(f"{what} returned {type(conv).__name__} to {place}, expected a Module: pass {OPERATOR}.")
    _check_call(conv, what, place, ("x", "edge_index"), f"(nodes, {out_channels})")
    return conv


def _name(factory: Any, registry: Registry[Any]) -> str:
    """Return the name under which a factory is registered, such as `my_ops:MyConv`, or the name of its definition."""
    inner = factory.func if isinstance(factory, partial) else factory
    return registry.name_of(inner) or str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _create(factory: Callable[..., Any], what: str, place: str, arguments: dict[str, int], contract: str) -> Any:
    try:
        return factory(*arguments.values())
    except FAULTS as error:
        given = ", ".join(f"{key}={value}" for key, value in arguments.items())
        text = f"{what} failed when {place} called it with ({given}): {_text(error)}. Expected {contract}."
        raise _same_kind(error)(text) from error


def _check_call(part: Any, what: str, place: str, arguments: tuple[str, ...], result: str) -> None:
    """Raise `TypeError` if a part cannot be called with these arguments; without a known signature, it is accepted."""
    call = f"({', '.join(arguments)})"
    if not callable(part):
        raise TypeError(f"{what} is {part!r}, but {place} calls it with {call}: return a callable.")
    called = part.forward if isinstance(part, nn.Module) else part
    if isinstance(part, nn.Module) and not hasattr(part, "_forward_hooks"):
        raise TypeError(f"{what} is not initialized: call super().__init__() in {type(part).__name__}.__init__.")
    if isinstance(part, nn.Module) and (type(part).__call__ is not nn.Module.__call__ or part._forward_pre_hooks):
        return  # forward may receive other arguments
    if getattr(called, "__func__", None) is nn.Module.forward:
        raise TypeError(f"{what} has no forward, but {place} calls it with {call}: define forward{call}.")
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # a compiled module or function may have none
        return
    # With a graph that returns edge attributes, an operator receives them by name.
    attributes = {name: name for name in ("edge_attr", "edge_weight") if name in signature.parameters}
    try:
        signature.bind(*arguments, **(attributes if isinstance(part, nn.Module) else {}))
    except TypeError as error:
        takes = f"{'its forward' if isinstance(part, nn.Module) else 'it'} takes {signature}"
        text = f"{what} is called by {place} with {call}, but {takes}: {error}. Accept {call}, and return {result}."
        raise TypeError(text) from error


def explained(error: TypeError | AttributeError, what: str, place: str, given: str, result: str) -> Exception:
    """Return the error of a call, with the part, its place, what it received, and what it must return.

    Example:
        >>> explained(TypeError("no"), "The operator Mine", "a Grapher", "x (4, 8)", "(4, 16)")
        TypeError('The operator Mine failed in a Grapher: no. It received x (4, 8), and must return (4, 16).')
    """
    text = f"{what} failed in {place}: {_text(error)}. It received {given}, and must return {result}."
    return _same_kind(error)(text)


def shapes_of(nodes: Tensor | tuple[Tensor, Tensor]) -> str:
    """Return the argument `x` of an operator as text.

    Example:
        >>> import torch
        >>> shapes_of(torch.rand(4, 8)), shapes_of((torch.rand(1, 8), torch.rand(4, 8)))
        ('x (4, 8)', 'x = (x_src (1, 8), x_dst (4, 8))')
    """
    if isinstance(nodes, Tensor):
        return f"x {tuple(nodes.shape)}"
    return f"x = (x_src {tuple(nodes[0].shape)}, x_dst {tuple(nodes[1].shape)})"


def is_of_this_library(part: object) -> bool:
    """True if the class of a part is defined in this library.

    Example:
        >>> is_of_this_library(nn.Identity())
        False
    """
    return type(part).__module__.partition(".")[0] == __name__.partition(".")[0]


def _text(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def _same_kind(error: Exception) -> type[TypeError] | type[AttributeError]:
    """Return the built-in class of an error; its own class may need other arguments."""
    return TypeError if isinstance(error, TypeError) else AttributeError
