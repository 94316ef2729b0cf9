"""Detection of linear layers whose weights other code may read in place of calling the layer."""

from __future__ import annotations

from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from vig_pyg.ops._recomputable import is_recomputable

#: Classes of weights that hold their own numbers. Quantized weights and shards of a weight are other classes. A fake
#: tensor stands for a plain one while a program is traced.
_OWN_NUMBERS = (nn.Parameter, Tensor, FakeTensor)


def readable_heads(layer: nn.Module) -> int:
    """Return the heads of a linear layer that does nothing but multiply with its weights; 0 for any other layer.

    Tools replace an `nn.Linear` by a quantized one, add low-rank weights to it, or exchange its weights for a subclass
    of `Tensor`. Such a layer must be called, because its `weight` and `bias` are not what it computes with.

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
    """True if the weight and the bias of a layer are plain tensors, whichever way the layer uses them.

    Args:
        layer: The layer.

    Example:
        >>> has_own_numbers(nn.Conv2d(4, 8, 1)), has_own_numbers(nn.Conv2d(4, 8, 1, bias=False))
        (True, False)
    """
    parameters = layer._parameters  # a module's own look-up of attributes is slow
    weight, bias = parameters.get("weight"), parameters.get("bias")
    if weight is None or bias is None:  # FSDP and pruning keep tensors that are not parameters
        weight, bias = getattr(layer, "weight", None), getattr(layer, "bias", None)
    return type(weight) in _OWN_NUMBERS and type(bias) in _OWN_NUMBERS
