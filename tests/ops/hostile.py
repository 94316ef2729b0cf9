"""Tensors as nobody should pass them: other types, shapes, strides, numbers, and no memory at all."""

import torch

FAR = (-1, -(2**40), -(2**63), 2**31, 2**40, 2**63 - 1)
FLOATS = (torch.float32, torch.float32, torch.float32, torch.bfloat16, torch.float64, torch.float16)

#: What is no edges, by what it is.
NO_EDGES = {
    **{str(kind): torch.zeros(2, 3).to(kind) for kind in (torch.uint16, torch.uint64, torch.float64, torch.complex64)},
    "sparse": torch.eye(4).to_sparse(),
    "meta": torch.zeros(2, 3, dtype=torch.long, device="meta"),
    "numpy": torch.zeros(2, 3, dtype=torch.long, device="cpu").numpy(),
    "list": [[0], [1]],
    "nothing": None,
    "turned": torch.zeros(5, 2, dtype=torch.long),
    "three rows": torch.zeros(3, 4, dtype=torch.long),
    "one row": torch.zeros(4, dtype=torch.long),
}


def restrided(rng, x):
    """The same numbers with other strides."""
    kind = rng.randrange(7)
    if kind == 0 and x.dim() >= 2:
        return x.transpose(0, -1).contiguous().transpose(0, -1)
    if kind == 1 and x.dim():
        wide = x.new_empty(*x.shape[:-1], 2 * x.shape[-1])
        wide[..., ::2] = x
        return wide[..., ::2]
    if kind == 2:
        return torch.cat([x.new_ones(3), x.flatten()])[3:].view(x.shape)  # behind other numbers
    return x


def unaligned(x):
    """The same numbers at an odd address."""
    memory = bytearray(x.numel() * x.element_size() + 1)
    if not x.numel():
        return x
    copy = torch.frombuffer(memory, dtype=torch.uint8)
    copy[1:] = x.contiguous().view(-1).view(torch.uint8)
    return torch.frombuffer(memory, dtype=x.dtype, offset=1).view(x.shape)


def freed(x):
    """A tensor whose memory was given back."""
    copy = x.clone(memory_format=torch.contiguous_format)
    copy.untyped_storage().resize_(0)
    return copy


def not_finite(rng, x):
    """One number is NaN or infinite."""
    x = x.clone(memory_format=torch.contiguous_format)
    if x.numel() and x.is_floating_point():
        x.view(-1)[rng.randrange(x.numel())] = rng.choice([torch.nan, torch.inf, -torch.inf])
    return x


def retyped(rng, x):
    kinds = [torch.float64, torch.float16, torch.bfloat16, torch.float32, torch.int64, torch.bool, torch.complex64]
    return x.to(rng.choice(kinds))


def reshaped(rng, x):
    """Another shape: rows or columns missing or too many, a dimension more or less, nothing at all."""
    kind = rng.randrange(8)
    if kind == 0:
        return x.unsqueeze(rng.randrange(x.dim() + 1))
    if kind == 1:
        return x.flatten()
    if kind == 2:
        return x.new_ones(())
    dim = rng.randrange(x.dim()) if x.dim() else 0
    if not x.dim() or not x.shape[dim]:
        return x.unsqueeze(0)
    if kind == 3:
        return x.narrow(dim, 0, 0)
    if kind == 4:
        return x.narrow(dim, 0, rng.randrange(x.shape[dim] + 1))
    if kind == 5:
        return torch.cat([x, x.narrow(dim, 0, 1)], dim)
    if kind == 6:
        return x.narrow(dim, 0, 1).expand_as(x)
    return x.transpose(0, -1)


def other(rng, x):
    """No tensor, or one that is not dense or not on the CPU."""
    if rng.random() < 0.4:
        return rng.choice([None, x.tolist(), 3.0, "x"])
    if rng.random() < 0.5 or x.dim() != 2:
        return x.to("meta")
    return x.to_sparse()


def spoiled(rng, x, *, memory=True):
    """Floating-point numbers with something wrong, or only unusual; in their memory too, where we look at that."""
    kind = rng.randrange(6)
    if kind == 0:
        return retyped(rng, x)
    if kind == 1:
        return not_finite(rng, x)
    if kind == 2:
        return other(rng, x)
    if kind == 3 and memory and x.dtype == torch.float32:
        return rng.choice([unaligned, freed, torch._neg_view])(x)
    return reshaped(rng, x)


def spoiled_edges(rng, edges, *, memory=True):
    """Edges with something wrong: nodes that do not exist, other types, other shapes, no memory."""
    kind = rng.randrange(10)
    if kind < 5 and edges.numel():
        edges = edges.clone()
        far = (*FAR, int(edges[0].max()) + 1, int(edges[1].max()) + 1, 2 * edges.shape[1])
        for _ in range(rng.choice([1, 1, 5])):
            edges[rng.randrange(2), rng.randrange(edges.shape[1])] = rng.choice(far)
        return edges
    if kind < 7:
        kinds = [torch.int32, torch.int16, torch.uint8, torch.bool, torch.float32, torch.float64, torch.int8]
        return edges.to(rng.choice(kinds))
    if kind == 7:
        return other(rng, edges)
    if kind == 8 and memory:
        return unaligned(edges)
    return reshaped(rng, edges)


def is_dense(x, dim):
    """Whether this is a dense tensor of floating-point numbers on the CPU, with memory that can be read."""
    if not isinstance(x, torch.Tensor) or x.layout != torch.strided or not x.is_floating_point() or not x.is_cpu:
        return False
    return x.dim() == dim


def is_readable(x):
    """Whether the memory of a tensor can be read where it lies."""
    return not x.is_contiguous() or not x.numel() or (x.data_ptr() != 0 and x.data_ptr() % x.element_size() == 0)


def are_edges(edges, num_src, num_dst):
    """Whether these are edges between so many nodes."""
    if not isinstance(edges, torch.Tensor) or edges.layout != torch.strided or not edges.is_cpu:
        return False
    if edges.dtype not in (torch.int32, torch.int64) or edges.dim() != 2 or edges.shape[0] != 2:
        return False
    if not edges.numel():
        return True
    low, high = edges.long().min(1).values, edges.long().max(1).values
    return bool(low.min() >= 0 and high[0] < num_src and high[1] < num_dst)
