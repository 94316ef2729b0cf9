"""What the kernels for GPUs compute, by torch on the CPU: for `played_gpu`, where what is tested is around them.

Each takes the arguments of the function of its name in `vig_pyg.ops._triton_*`, and returns `NotImplemented` for
numbers that the kernel treats in a way of its own.
"""

import torch
from torch.nn import functional

from tests.played_gpu import _calls, moved
from vig_pyg.ops import _knn
from vig_pyg.ops.rows import winner_type


def neighbors(x, y, k, *, step, bias, normalize, precision="highest", edges=False, grid_width=0, tile=None):
    if x.dtype == torch.float64 or not all(part is None or part.isfinite().all() for part in (x, y, bias)):
        return NotImplemented
    x, y, bias = (part if part is None else part.float() for part in (x, y, bias))
    options = {"step": min(step, k), "bias": bias, "normalize": normalize, "grid_width": grid_width}
    search = _knn.knn if edges else _knn.neighbors
    return search(x, y, k, precision="highest", **options)


def gather_max(x_src, x_dst, edges, *, winners, tuning=None):
    source, target = edges
    if len(source) and (source.min() < 0 or source.max() >= len(x_src) or target.max() >= len(x_dst)):
        return NotImplemented
    place = torch.arange(len(source)) - torch.searchsorted(target.contiguous(), target)
    table = torch.full((len(x_dst), int(place.max()) + 1 if len(place) else 1), -1)
    table[target, place] = source
    return _gathered(x_src, x_dst, table, table, torch.int32, winners)


def gather_neighbors(x_src, x_dst, neighbors, *, winners, tuning=None):
    images, n, _ = neighbors.shape
    m = len(x_src) // max(1, images)
    table = neighbors.flatten(0, 1).long()
    shift = torch.arange(images).repeat_interleave(n).unsqueeze(1) * m
    return _gathered(x_src, x_dst, table + shift, table, winner_type(m), winners)


def _gathered(x_src, x_dst, table, names, kind, winners):
    """Maxima over the rows of a table `(N, K)` of sources, -1 for none; the first of equal ones wins."""
    if not x_src.isfinite().all() or not len(x_src) or not table.numel() or x_src.dtype != x_dst.dtype:
        return NotImplemented
    none = table < 0
    values = x_src[table.clamp_min(0)].masked_fill(none.unsqueeze(2), -torch.inf)
    largest, place = values.max(1)
    relative = (largest - x_dst).masked_fill(none.all(1, keepdim=True), 0)
    kept = names.gather(1, place) if winners else names.new_empty(0, x_dst.size(1))
    return torch.stack([x_dst, relative], 2).flatten(1), kept.to(kind)


def scatter_winners(grad, winners, num_src, images=1, *, in_order=False, tuning=None):
    if grad.shape != (len(winners), 2 * winners.size(1)) or len(winners) % images or num_src % images:
        return NotImplemented
    own, relative = grad.reshape(*winners.shape, 2).unbind(2)
    m = num_src // images
    name, here = winners.long(), (winners >= 0) & (winners < m)
    shift = torch.arange(images).repeat_interleave(len(winners) // images).unsqueeze(1) * m
    sums = grad.new_zeros(num_src + 1, winners.size(1), dtype=torch.float32)  # the last row is of none
    place = torch.where(here, name + shift, num_src)
    exact = sums.double().scatter_add_(0, place, relative.double())
    sums.scatter_add_(0, place, relative.float())
    if not in_order:  # atomic additions
        sums = moved(sums, exact, next(_calls))
    return sums[:-1].to(grad.dtype), own - relative.masked_fill(winners < 0, 0)


def statistics(h, weight, bias, offset, running, momentum, eps):
    mean, variance, batches = running
    found, spread = h.double().mean(0), h.double().var(0, correction=0)
    rate = (spread + eps).rsqrt()
    scale = weight * rate
    mean.lerp_((found + (0 if offset is None else offset)).float(), momentum)
    variance.lerp_((spread * len(h) / (len(h) - 1)).float(), momentum)
    batches.add_(1)
    return torch.stack([found, rate, scale, bias - found * scale]).float()


def apply(h, factors, out, residual=None, *, gelu):
    z = h * factors[2] + factors[3]
    z = functional.gelu(z) if gelu else z
    out.copy_(z if residual is None else z + residual)


def backward(grad, h, factors, out, *, gelu):
    mean, rate, scale, shift = factors
    d = grad.float()
    if gelu:
        with torch.enable_grad():
            z = (h * scale + shift).detach().requires_grad_()
            (d,) = torch.autograd.grad(functional.gelu(z), z, d)
    away = (h - mean) * rate
    totals = torch.stack([d.sum(0), (d * away).sum(0), torch.zeros_like(mean)])
    out.copy_(scale * (d - totals[0] / len(h) - away * totals[1] / len(h)))
    return totals


def bias_gelu_(h, bias, *, gelu):
    z = h.float() + bias.float()
    h.copy_(functional.gelu(z) if gelu else z)


STAND_INS = {
    function.__name__: function
    for function in (
        neighbors,
        gather_max,
        gather_neighbors,
        scatter_winners,
        statistics,
        apply,
        backward,
        bias_gelu_,
    )
}
