"""The networks of the benchmark for GPUs: ours, the published one, the floor, and timm's peers."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import timm
import torch
import torch.nn.functional as F
from floor import strip_graphs
from gpu_timing import Run
from reference import DenseReference
from torch import Tensor, nn

from vig_pyg import VisionGNN, create_model, weights

#: Names in tables, and timm's; all take 224 px.
PEERS = {
    "Swin-T": "swin_tiny_patch4_window7_224",
    "DeiT-S": "deit_small_patch16_224",
    "ConvNeXt-T": "convnext_tiny",
}


@contextmanager
def without_triton() -> Iterator[None]:
    """Plain torch in place of the kernels for GPUs: products and `torch.topk`, gathered maxima."""
    with patch("vig_pyg.ops._triton._load", lambda: None):
        yield


class Networks:
    """Builds the networks of one model, with the same weights, when a table comes to them.

    Args:
        name: A model of ours.
        args: The command's options.
        train: Whether for training steps; else for inference, ours with `fuse()`.
    """

    def __init__(self, name: str, args: argparse.Namespace, *, train: bool) -> None:
        patch_size = 4 if name.startswith("pvig") else 16  # as published; that of the micro models is smaller
        self.options = {"drop_path_rate": 0.0, "image_size": args.image_size, "patch_size": patch_size}
        self.name, self.device, self.train = name, args.device, train
        self.model = create_model(name, **self.options)  # type: ignore[arg-type]

    def build(self, network: str) -> nn.Module:
        """A network by its name in tables."""
        if network in PEERS:
            return self._ready(timm.create_model(PEERS[network], pretrained=False, drop_path_rate=0.0))
        if network == "reference":
            reference = DenseReference(self.model.config, autocast_search=True)
            reference.load_state_dict(weights.convert(self.model, "official"))
            return self._ready(reference)
        engine = {"knn_engine": "torch_cluster"} if network == "ours, torch_cluster" else {}
        model: Any = create_model(self.name, **self.options, **engine)  # type: ignore[arg-type]
        model.load_state_dict(self.model.state_dict())
        if network == "floor":
            model = strip_graphs(model)
        return self._ready(model)

    def _ready(self, net: nn.Module) -> nn.Module:
        net = net.to(self.device).train(self.train)
        return net if self.train or not isinstance(net, VisionGNN) else net.fuse()


def inference(net: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """One pass under bfloat16 autocast."""
    with torch.inference_mode(), torch.autocast(images.device.type, torch.bfloat16):
        return net(images)


def training_step(net: Callable[[Tensor], Tensor], images: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One step under bfloat16 autocast."""
    labels = torch.arange(len(images), device=images.device) % 10
    optimizer.zero_grad()
    with torch.autocast(images.device.type, torch.bfloat16):
        loss = F.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.step()


def adamw(net: nn.Module) -> torch.optim.Optimizer:
    """The optimizer of the training steps."""
    return torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)


def plain(run: Run) -> Run:
    """The same without our kernels."""

    def other() -> Any:
        with without_triton():
            return run()

    return other


class Captured:
    """An eager pass as a CUDA graph: one launch for all of its kernels.

    It holds the network: the graph reads weights at their addresses, and does not keep them alive.
    """

    def __init__(self, net: nn.Module, images: Tensor) -> None:
        self.net, self.images = net, images
        self.input = images.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._eager()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.output = self._eager()

    def _eager(self) -> Tensor:  # a cache of autocast's weights would live in the graph's memory, and end with it
        with torch.inference_mode(), torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
            return self.net(self.input)

    def __call__(self) -> Tensor:
        self.input.copy_(self.images)
        self.graph.replay()
        return self.output


def graphed(net: nn.Module, images: Tensor) -> Callable[[Tensor], Tensor]:
    """The network in training with its forward and its backward pass as a CUDA graph each.

    The parameters' gradients must be zeroed by setting them to `None`, which is the default of optimizers.
    """
    with torch.autocast("cuda", torch.bfloat16, cache_enabled=False):
        fast: Callable[[Tensor], Tensor] = torch.cuda.make_graphed_callables(net, (images.clone(),))
    return fast


def compiled(net: nn.Module, mode: str | None) -> Callable[[Tensor], Tensor]:
    """The network compiled for one shape; `mode` is torch's."""
    fast: Callable[[Tensor], Tensor] = torch.compile(net, mode=mode, dynamic=False)
    return fast
