"""Compiles every kernel for a GPU that is not here, with the arguments of real launches.

    TRITON_INTERPRET=0 python -m tests.ops.ahead_of_time 89 search

The launches are those of the functions that the operators call, so that a change of tile sizes is compiled, too. It
prints one line for each kernel, with the bytes of shared memory that a program needs.
"""

import json
import sys
import warnings

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

from vig_pyg.ops import (
    _triton_batch_norm,
    _triton_bias_gelu,
    _triton_knn,
    _triton_lengths,
    _triton_max_relative,
    _triton_scatter_winners,
)

FLOATS = torch.float32, torch.bfloat16, torch.float16
NAMES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
NAMES |= {torch.uint8: "*u8", torch.int16: "*i16", torch.int32: "*i32", torch.int64: "*i64"}
LAUNCHERS = _triton_batch_norm, _triton_bias_gelu, _triton_knn, _triton_lengths, _triton_max_relative
LAUNCHERS += (_triton_scatter_winners,)


def signature(kernel, args, constants, features):
    """What Triton compiles for the arguments of a launch: types, constants, and which are multiples of 16.

    The search converts 16-bit features for the interpreter: `features` are their names and their types on a GPU.
    """
    general = {parameter.name for parameter in kernel.params if parameter.do_not_specialize}
    types, constants, multiples = {}, dict(constants), {}
    for place, (name, value) in enumerate(zip(kernel.arg_names, args, strict=False)):
        if isinstance(value, torch.Tensor):
            types[name] = features.get(name, NAMES[value.dtype])
            multiples[place,] = [["tt.divisibility", 16]]
        elif value is None or (value == 1 and name not in general):
            constants[name] = value
        elif isinstance(value, float):
            types[name] = "fp32"
        else:
            types[name] = "i32"
            if value % 16 == 0 and name not in general:
                multiples[place,] = [["tt.divisibility", 16]]
    return {name: types.get(name, "constexpr") for name in kernel.arg_names}, constants, multiples


def search(launches):
    """Searches of pvig_small at 224 and 800 x 1280 pixels, of vig_small, and those with the most neighbors."""
    for dtype in FLOATS:
        for n, m, channels, k, step, rows, width in (
            (196, 196, 320, 54, 3, 196, 0),
            (784, 196, 80, 9, 1, 784, 0),
            (784, 1000, 80, 9, 1, 56, 28),
            (100, 1001, 48, 128, 1, 1, 0),
        ):
            x, y, bias = torch.randn(1, n, channels), torch.randn(1, m, channels), torch.randn(1, rows, m)
            x, y = x.to(dtype), x.to(dtype) if n == m else y.to(dtype)
            launches.features = dict.fromkeys(("x_ptr", "y_ptr"), NAMES[dtype])
            _triton_knn.neighbors(x, y, k, step=step, bias=bias, normalize=True, grid_width=width)
    for m in (200, 300):
        x, y = torch.randn(1, 80, 16), torch.randn(1, m, 16)
        launches.features = {"x_ptr": "*fp32", "y_ptr": "*bf16"}
        _triton_knn.neighbors(x, y, 9, step=1, bias=None, normalize=False, precision="medium", edges=True)


def others(launches):
    """Aggregation, its gradients, batch norm, bias and GELU."""
    launches.features = {}
    edges = torch.stack([torch.zeros(3600), torch.arange(400).repeat_interleave(9)]).long()
    neighbors, weight = torch.zeros(4, 100, 9, dtype=torch.int16), torch.ones(80)
    running = torch.zeros(80), torch.ones(80), torch.zeros((), dtype=torch.long)
    for dtype in FLOATS:
        for channels in (80, 7):
            x, y = torch.randn(400, channels).to(dtype), torch.randn(200, channels).to(dtype)
            _triton_max_relative.gather_max(y, x, edges, winners=True)
            _triton_max_relative.gather_neighbors(y, x, neighbors, winners=True)
            winners, grad = torch.zeros(400, channels, dtype=torch.uint8), torch.randn(400, 2 * channels).to(dtype)
            for in_order in (False, True):
                _triton_scatter_winners.scatter_winners(grad, winners, 200, 4, in_order=in_order)
        h, factors = torch.randn(5000, 80).to(dtype), torch.zeros(4, 80)
        _triton_batch_norm.statistics(h, weight, weight, weight, running, 0.1, 1e-5)
        _triton_batch_norm.apply(h, factors, h, gelu=True)
        _triton_batch_norm.apply(h, factors, h.float(), h.float(), gelu=False)
        _triton_batch_norm.backward(h, h, factors, h, gelu=True)
        _triton_bias_gelu.bias_gelu_(h, weight.to(dtype), gelu=True)


class Launches:
    """Takes the place of `launch`: compiles each kernel once for an architecture, and starts nothing."""

    def __init__(self, capability):
        self.target, self.features, self.seen = GPUTarget("cuda", capability, 32), {}, set()

    def __call__(self, kernel, grid, args, constants, **options):
        found = signature(kernel, args, constants, self.features if kernel is not _triton_lengths._lengths else {})
        key = kernel.__name__, str(found), str(options)
        if key not in self.seen:
            self.seen.add(key)
            code = compile(ASTSource(kernel, *found), target=self.target, options=options)
            assert code.asm["cubin"]
            print(json.dumps([kernel.__name__, code.metadata.shared]), flush=True)


def main():
    launches = Launches(int(sys.argv[1]))
    for module in LAUNCHERS:
        module.launch = launches
    {"search": search, "others": others}[sys.argv[2]](launches)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
