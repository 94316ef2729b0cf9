"""Checks of PyG batches from users, and the order that sorts their nodes by image and grid position.

Shapes: B images, N nodes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

Size = tuple[int, int]


class BatchOrder(NamedTuple):
    """The order of the nodes of a batch.

    Args:
        num_nodes_per_graph: Number of nodes of each image.
        grid_sizes: Grid (H, W) of each image, or `None` for a point set without a grid.
        nodes: Indices that sort the nodes by image, and on grids in raster order, `(N,)`; `None` if they are sorted.
        batch: The image of each node in that order, `(N,)`.
        ptr: First node of each image in that order, `(B + 1,)`.

    Example:
        >>> BatchOrder((2,), None, None, torch.zeros(2), torch.tensor([0, 2])).num_nodes_per_graph
        (2,)
    """

    num_nodes_per_graph: tuple[int, ...]
    grid_sizes: tuple[Size, ...] | None
    nodes: Tensor | None
    batch: Tensor
    ptr: Tensor


def order_of(data: Data, *, places: bool = True) -> BatchOrder:
    """Compute the order of the nodes of a batch, from its `batch`, `pos` and `grid_size`.

    The computation runs on the CPU, so it synchronizes a batch's GPU.

    Args:
        places: If false, positions are not used, so `pos` and `grid_size` may be missing or outdated.

    Example:
        >>> pos = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
        >>> order_of(Data(x=torch.rand(2, 4), pos=pos, grid_size=(1, 2))).nodes.tolist()
        [1, 0]
    """
    x = data.get("x")
    if not isinstance(x, Tensor) or x.dim() != 2:
        got = (
            f"x is {tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__}" if x is not None else "it has no x"
        )
        raise ValueError(f"Expected a batch with nodes x (N, C), but {got}.")
    image = _images(data, x.size(0))
    counts = image.bincount(minlength=_declared(data, image)).tolist()
    if not counts or min(counts) < 1:
        raise ValueError(
            f"Every image needs at least one node, got {tuple(counts)} nodes: leave out images without nodes."
        )
    sizes, key = None, image
    if places:
        pos = _positions(data, x.size(0))
        sizes = _sizes(data, counts)
        key = image if sizes is None else _raster_index(pos, image, counts, sizes)
    sorted_already = bool((key.diff() >= 0).all())
    nodes = None if sorted_already else key.argsort(stable=True)
    ptr = torch.tensor([0, *counts], device="cpu").cumsum(0)
    batch = image if nodes is None else image[nodes]
    moved = nodes if nodes is None else nodes.to(x.device)
    return BatchOrder(tuple(counts), sizes, moved, batch.to(x.device), ptr.to(x.device))


def _images(data: Data, num_nodes: int) -> Tensor:
    """The image of each node, on the CPU."""
    batch, ptr = data.get("batch"), data.get("ptr")
    if isinstance(batch, Tensor):
        if batch.shape != (num_nodes,) or batch.is_floating_point() or batch.is_complex() or batch.dtype == torch.bool:
            raise ValueError(f"Expected batch with one image per node, ({num_nodes},) integers, got {_words(batch)}.")
        image = batch.detach().cpu().long()
        if num_nodes and int(image.min()) < 0:
            raise ValueError(f"Expected images counted from 0 in batch, got {int(image.min())}.")
        return image
    if isinstance(ptr, Tensor):
        first = ptr.detach().cpu().tolist() if ptr.dim() == 1 and not ptr.is_floating_point() else []
        counts = [b - a for a, b in pairwise(first)]
        if not counts or first[0] != 0 or first[-1] != num_nodes or min(counts) < 0:
            raise ValueError(
                f"The batch has no `batch`, and its ptr {_words(ptr)} does not divide {num_nodes} nodes: pass the "
                "image of each node as `batch`."
            )
        return torch.arange(len(counts), device="cpu").repeat_interleave(torch.tensor(counts, device="cpu"))
    if isinstance(data, Batch):
        raise ValueError("The batch has neither `batch` nor `ptr`: pass the image of each node as `batch`, (N,).")
    sizes = _numbers(data.get("grid_size"))
    if isinstance(sizes, list) and len(sizes) > 1 and not _is_size(sizes):
        raise ValueError(
            f"grid_size has {len(sizes)} images, but this Data has neither `batch` nor `ptr`: pass the image of "
            "each node as `batch`, (N,)."
        )
    return torch.zeros(num_nodes, dtype=torch.long, device="cpu")


def _declared(data: Data, image: Tensor) -> int:
    """The number of images, including trailing images without nodes."""
    found = int(image.max()) + 1 if image.numel() else 0
    if found > max(image.numel(), 1):  # checked before a tensor of this size is allocated
        raise ValueError(
            f"batch contains the image index {found - 1}, but there are {image.numel()} nodes: count images from 0."
        )
    ptr, sizes = data.get("ptr"), data.get("grid_size")
    made = getattr(data, "_num_graphs", None)  # PyG stores this number in each batch that it creates
    declared = [made] if isinstance(made, int) else []
    declared += [ptr.numel() - 1] if isinstance(ptr, Tensor) else []
    declared += [len(sizes)] if isinstance(sizes, list) else []
    if declared and found > max(declared):
        raise ValueError(
            f"batch has {found} images, but ptr or grid_size has {max(declared)}: create all of them from the same "
            "images."
        )
    return max([found, *declared])


def _positions(data: Data, num_nodes: int) -> Tensor:
    pos = data.get("pos")
    if not isinstance(pos, Tensor):
        raise ValueError("The batch has no `pos`: pass the row and column of each node, (N, 2).")
    if pos.dim() != 2 or pos.size(0) != num_nodes or pos.dtype == torch.bool or pos.is_complex():
        raise ValueError(
            f"Expected pos (N, 2) with the row and column of each of {num_nodes} nodes, got {_words(pos)}."
        )
    return pos.detach().cpu()


def _sizes(data: Data, counts: list[int]) -> tuple[Size, ...] | None:
    """The grid of each image, `None` for a point set without a grid."""
    if "grid_size" not in data or data.get("grid_size") is None:
        return None
    given = _numbers(data.get("grid_size"))
    sizes = [given] if len(counts) == 1 and _is_size(given) else given
    if isinstance(sizes, list) and len(sizes) == 2 * len(counts) and all(type(n) is int for n in sizes):
        sizes = list(zip(sizes[::2], sizes[1::2], strict=True))  # PyG concatenates tensors (2,) into one
    if not isinstance(sizes, (list, tuple)) or len(sizes) != len(counts) or not all(map(_is_size, sizes)):
        raise ValueError(
            f"Expected grid_size with one (height, width) for each of {len(counts)} images, got "
            f"{data.get('grid_size')!r}."
        )
    for i, ((height, width), count) in enumerate(zip(sizes, counts, strict=True)):
        if height * width != count:
            raise ValueError(
                f"Image {i} of the batch has {count} nodes, but its grid_size {(height, width)} has {height * width} "
                "cells: if nodes were left out on purpose, `del batch.grid_size` makes them a point set."
            )
    return tuple((int(height), int(width)) for height, width in sizes)


def _numbers(value: Any) -> Any:
    """Tensors, arrays and NumPy's integers as lists and integers; anything else is returned as it is."""
    if isinstance(value, (list, tuple)):
        return [_numbers(part) for part in value]
    return value.tolist() if isinstance(value, Tensor) or type(value).__module__ == "numpy" else value


def _is_size(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and all(type(n) is int and n > 0 for n in value)


def _raster_index(pos: Tensor, image: Tensor, counts: list[int], sizes: tuple[Size, ...]) -> Tensor:
    """The index of each node in raster order."""
    of_image = torch.tensor(sizes, device="cpu")[image]  # (N, 2)
    cell = pos.double()
    fits = pos.size(1) == 2 and bool(((cell == cell.floor()) & (cell >= 0) & (cell < of_image)).all())
    if fits:
        first = torch.tensor([0, *counts[:-1]], device="cpu").cumsum(0)[image]
        row, column = cell.long().unbind(1)
        index = first + row * of_image[:, 1] + column
        if bool((index.bincount(minlength=len(index)) == 1).all()):
            return index
    raise ValueError(
        "The positions `pos` of the batch are not those of all cells (row, column, counted from 0) of its grids: pos "
        "or grid_size belongs to another batch. If nodes lie elsewhere on purpose, `del batch.grid_size` makes them a "
        "point set."
    )


def _words(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {tensor.dtype}"
