import copy

import torch


def same(module, x, run, *, atol=2e-5):
    """Results, gradients and statistics in float32, as trained, and in float64, by the plain layers.

    Returns the types of the last two autograd nodes of the pass in float32, the last first.
    """
    found = []
    for dtype in (torch.float32, torch.float64):
        one = copy.deepcopy(module).to(dtype)
        nodes = x.detach().clone().to(dtype).requires_grad_()
        out = run(one, nodes)
        nodes_behind = [node for node, _ in out.grad_fn.next_functions]  # older torch tells them only while they live
        passes = [type(out.grad_fn), type(nodes_behind[0])]
        weight = torch.linspace(-1, 1, out.numel(), dtype=dtype).view_as(out)
        (out * weight).sum().backward()
        grads = {name: parameter.grad for name, parameter in one.named_parameters()}
        statistics = {key: value for key, value in one.state_dict().items() if "running" in key}
        found.append(({"out": out.detach(), "x": nodes.grad, **grads, **statistics}, passes))
    (first, passes), (second, _) = found
    for key, value in second.items():
        size = float(value.abs().max()) + 1
        torch.testing.assert_close(
            first[key].double(), value, rtol=1e-4, atol=atol * size, msg=lambda m, k=key: f"{k}: {m}"
        )
    return passes
