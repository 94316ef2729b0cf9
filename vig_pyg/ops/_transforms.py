"""Support of the transforms of `torch.func` (`grad`, `vmap`, `jacrev`) by custom operators.

An operator of `torch.library` has no gradient under these transforms, and `vmap` would call it once per sample.
Therefore an autograd function replaces it under a transform. The batching rule of this function joins the images or
nodes of all samples into one call.

Shapes: V samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def is_transformed() -> bool:
    """True inside a transform of `torch.func`.

    Example:
        >>> seen = []; torch.func.vmap(lambda x: seen.append(is_transformed()) or x)(torch.zeros(2)); seen
        tensor([0., 0.])
        [True]
    """
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()


def without_transforms(tensor: Tensor) -> Tensor:
    """Return the tensor that transforms have wrapped; if it is batched, one of its dimensions is that of the samples.

    Args:
        tensor: A tensor, wrapped or not.

    Shapes: any shape; a wrapped tensor of a batch of samples has one more dimension.

    Example:
        >>> torch.func.vmap(lambda x: torch.tensor(without_transforms(x).dim()).expand(1))(torch.zeros(2))[0].tolist()
        [1]
    """
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def of_samples(samples: int, tensor: Tensor, dim: int | None) -> Tensor:
    """Move the dimension of the samples to the front, or expand a tensor that all samples share, to `(V, ...)`.

    Args:
        samples: Number of samples V.
        tensor: An argument of a batching rule.
        dim: The dimension of the samples, or `None` if they share the tensor.

    Example:
        >>> of_samples(2, torch.zeros(3, 2), 1).shape, of_samples(2, torch.zeros(3), None).shape
        (torch.Size([2, 3]), torch.Size([2, 3]))
    """
    return tensor.expand(samples, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def shifts(samples: int, *steps: int, like: Tensor) -> Tensor:
    """Return the index of the first node of each sample, for each kind of nodes, `(V, len(steps), 1)`.

    Args:
        samples: Number of samples V.
        steps: Number of nodes of one sample, for each kind of nodes.
        like: A tensor on the device of the result.

    Example:
        >>> shifts(3, 2, 5, like=torch.zeros(1)).flatten(1).tolist()
        [[0, 0], [2, 5], [4, 10]]
    """
    sample = torch.arange(samples, device=like.device).view(-1, 1)
    return torch.cat([sample * step for step in steps], dim=1).unsqueeze(2)


def transformable(
    operator: Callable[..., Any],
    rule: Callable[..., Any],
    *,
    setup: Callable[..., None],
    gradients: Callable[..., Any],
) -> Callable[..., Any]:
    """Return a function that calls an operator, also under transforms.

    Args:
        operator: The operator, from `torch.ops`.
        rule: The batching rule `(call, samples, dims, *args)`, which returns the results and the positions of their
            sample dimensions; `call` is the returned function, so that transforms can be nested.
        setup: The `setup_context` of the operator's gradient.
        gradients: The backward pass, which may call other functions of this kind.

    Example:
        >>> def rule(call, samples, dims, x):
        ...     return call(of_samples(samples, x, dims[0])), 0
        >>> def setup(ctx, inputs, output):
        ...     pass
        >>> double = transformable(lambda x: 2 * x, rule, setup=setup, gradients=lambda ctx, grad: 2 * grad)
        >>> torch.func.vmap(torch.func.grad(double))(torch.ones(3)).tolist()
        [2.0, 2.0, 2.0]
    """

    class Transformed(torch.autograd.Function):
        @staticmethod
        def forward(*args: Any) -> Any:
            return operator(*args)

        @staticmethod
        def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> Any:
            return rule(call, info.batch_size, in_dims, *args)

        setup_context = staticmethod(setup)
        backward = staticmethod(gradients)

    def call(*args: Any) -> Any:
        return Transformed.apply(*args) if is_transformed() else operator(*args)

    return call


def no_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Save nothing: the `setup` of an operator without gradients."""
    ctx.inputs = len(inputs)
    ctx.mark_non_differentiable(output)


def no_gradients(ctx: Any, *_: Any) -> tuple[None, ...]:
    """Return no gradients: the `gradients` of an operator without gradients."""
    return (None,) * ctx.inputs
