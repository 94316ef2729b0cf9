"""The largest message of each target, for operators that make one for each edge.

Shapes: messages `(E, C)`, targets `(E,)`, result `(N, C)`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def edge_max(messages: Tensor, target: Tensor, num_dst: int) -> Tensor:
    """The largest message of each target, channel by channel, 0 without messages.

    Of equal messages the first in the order of the edges gets the whole gradient, as in the kernels; `scatter_reduce`
    would share it among them.

    Args:
        messages: `(E, C)`.
        target: Target of each message, below `num_dst`, in any order.
        num_dst: Targets N.

    Returns:
        `(N, C)`. NaN is the largest number.

    Example:
        >>> edge_max(torch.tensor([[1.0], [3.0], [2.0]]), torch.tensor([0, 0, 2]), 3).tolist()
        [[3.0], [0.0], [2.0]]
    """
    index = target.unsqueeze(1).expand_as(messages)
    with torch.no_grad():
        zeros = messages.new_zeros(num_dst, messages.size(1))
        largest = zeros.scatter_reduce(0, index, messages, "amax", include_self=False)
        if not messages.requires_grad:
            return largest
        number = torch.arange(len(target), device=target.device).unsqueeze(1)
        is_largest = (messages == largest[target]) | messages.isnan()
        place = torch.where(is_largest, number, len(target))
        first = place.new_full(zeros.shape, len(target)).scatter_reduce(0, index, place, "amin")
        wins = number == first[target]
    # one summand of each target is left: a sum, as its gradient is deterministic on a GPU too
    return zeros.index_add(0, target, messages.masked_fill(~wins, 0))
