"""Detection of linear layers whose weights other code may read instead of calling the layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from vig_pyg.ops._recomputable import is_recomputable

#: Tensor classes whose values are the weights. Quantized or sharded weights have other classes. While a program is
#: traced, a fake tensor represents a plain tensor.
_OWN_NUMBERS = (nn.Parameter, Tensor, FakeTensor)


def readable_heads(layer: nn.Module) -> int:
    """Return the number of heads of a linear layer that only multiplies by its weights; 0 for any other layer.

    Tools may replace an `nn.Linear` by a quantized layer, add low-rank weights, or replace its weights by a subclass of
    `Tensor`. Such a layer must be called, because it does not compute with its `weight` and `bias` directly.

    Args:
        layer: Any module.

    Returns:
        1 for a plain `nn.Linear` with a bias, the number of heads for a `MultiHeadLinear`, and 0 otherwise.

    Example:
        >>> readable_heads(nn.Linear(4, 8)), readable_heads(nn.Linear(4, 8, bias=False)), readable_heads(nn.GELU())
        (1, 0, 0)
    """
    if type(layer) is nn.Linear:
        heads = 0 if "forward" in layer.__dict__ else 1
    else:
        heads = getattr(layer, "heads", 0) if is_recomputable(layer) else 0
    return heads if heads and has_own_numbers(layer) else 0


def has_own_numbers(layer: nn.Module) -> bool:
    """True if the weight and the bias of a layer are plain tensors, regardless of how the layer uses them.

    Args:
        layer: The layer.

    Example:
        >>> has_own_numbers(nn.Conv2d(4, 8, 1)), has_own_numbers(nn.Conv2d(4, 8, 1, bias=False))
        (True, False)
    """
    parameters = layer._parameters  # attribute lookup through nn.Module is slow
    weight, bias = parameters.get("weight"), parameters.get("bias")
    if weight is None or bias is None:  # FSDP and pruning replace parameters by other tensors
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    return type(weight) in _OWN_NUMBERS and type(bias) in _OWN_NUMBERS
