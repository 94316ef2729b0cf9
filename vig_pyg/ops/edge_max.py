"""Maximum aggregation of messages over edges.

Shapes: messages `(E, C)`, targets `(E,)`, result `(N, C)`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def edge_max(messages: Tensor, target: Tensor, num_dst: int) -> Tensor:
    """Return the channel-wise maximum of the messages of each target; a target without messages gets 0.

    If several messages attain the maximum, the first one in the order of the edges receives the whole gradient, as in
    the native kernels. (`scatter_reduce` distributes it among them.)

    Args:
        messages: Messages `(E, C)`.
        target: Target of each message, `(E,)`, below `num_dst`, in any order.
        num_dst: Number of targets N.

    Shapes: messages `(E, C)` and targets `(E,)` to `(N, C)`.

    Returns:
        The maxima. NaN counts as the largest number.

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
        number = torch.arange(target.size(0), device=target.device).unsqueeze(1)
        is_largest = (messages == largest[target]) | messages.isnan()
        place = torch.where(is_largest, number, target.size(0))
        first = place.new_full(zeros.shape, target.size(0)).scatter_reduce(0, index, place, "amin")
        wins = number == first[target]
    # Per target, only one summand is nonzero. The gradient of a sum is deterministic on a GPU too.
    return zeros.index_add(0, target, messages.masked_fill(~wins, 0))
