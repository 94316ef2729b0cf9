"""The four operators as dense equations: a loop over targets, no message passing. Keys are those of our modules."""

import torch
import torch.nn.functional as F


def mlp(state, prefix, x, heads):
    """Multi-head linear, batch norm in evaluation mode, GELU."""
    weight, bias, gamma, beta, mean, var = (
        state[f"{prefix}.{key}"]
        for key in ("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var")
    )
    weights, parts = weight.chunk(heads), x.chunk(heads, dim=-1)
    y = torch.cat([part @ w.t() for part, w in zip(parts, weights, strict=True)], dim=-1) + bias
    return F.gelu((y - mean) / (var + 1e-5).sqrt() * gamma + beta)


def max_relative(state, x_i, x_j, heads):
    largest = (x_j - x_i).max(0).values
    interleaved = [value for pair in zip(x_i, largest, strict=True) for value in pair]
    return mlp(state, "mlp", torch.stack(interleaved), heads)


def edge(state, x_i, x_j, heads):
    return mlp(state, "mlp", torch.cat([x_i.expand_as(x_j), x_j - x_i], dim=1), heads).max(0).values


def gin(state, x_i, x_j, heads):
    return mlp(state, "mlp", (1 + state["eps"]) * x_i + x_j.sum(0), heads)


def graph_sage(state, x_i, x_j, heads):
    largest = mlp(state, "mlp_src", x_j, heads).max(0).values
    return mlp(state, "mlp", torch.cat([x_i, largest]), heads)


def reference(equation, operator, x, edge_index):
    """The equation at each target, with an operator's weights."""
    x_src, x_dst = (x, x) if isinstance(x, torch.Tensor) else x
    state = operator.state_dict()
    rows = [
        equation(state, x_dst[i], x_src[edge_index[0, edge_index[1] == i]], operator.heads) for i in range(len(x_dst))
    ]
    return torch.stack(rows)
