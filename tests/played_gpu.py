"""A CUDA device, played on the CPU: `pytest --device played-cuda` runs with it what `--device cuda` runs on a GPU.

Its tensors say that they are on `cuda:0` and hold their numbers on the CPU. They refuse what such a device refuses:
other tensors on the CPU, NumPy, generators of the CPU, products of whole numbers, and (in torch's mode for it) a
program that waits. Products and sums round a little differently than on a CPU, for each shape in another way, and sums
by index in each call. Operators of this package run the implementation for GPUs; its Triton kernels run in Triton's
interpreter in their own tests, elsewhere `played_kernels` computes what they do. For torch's own machinery (autograd
in a thread of the device, autocast) the tensors are on a device that Python may define, `privateuseone`.

What it does not show: compiled kernels, kernels of torch and libraries for GPUs, memory, streams, and CUDA graphs.
"""

from __future__ import annotations

import copy
import itertools
import zlib
from contextlib import contextmanager
from functools import cache
from unittest.mock import Mock, patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from tests.one_thread import InThisThread

DEVICE = torch.device("cuda", 0)
#: The name that the device has below Python.
BELOW = "played"
#: Operators that take tensors of several devices. Indices may be on the CPU.
_ANY_DEVICE = ("aten._to_copy", "aten.copy_", "aten.index.Tensor", "aten.index_put", "aten._unsafe_index")
#: Products, which cuBLAS has for floating-point numbers only, and with a setting only if they must be deterministic.
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot")
#: Operators that modes of dispatch do not see.
_BELOW_THE_MODES = ("torch_cluster.", "torch_scatter.")
#: Operators for which a program waits; a copy is one if it is between the device and the CPU.
_WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.equal", "aten.is_nonzero")
_WAITS += ("aten._unique2", "aten.unique_consecutive", "aten.unique_dim", "aten.repeat_interleave.Tensor")
#: Factories that ask the driver before they are seen.
_SPARSE = (torch.sparse_coo_tensor, torch.sparse_csr_tensor, torch.sparse_compressed_tensor)
#: Addresses in a GPU's memory are none of a CPU.
_MEMORY = 1 << 60


_COMPILED = "compilers and exporters do not follow tensors of a class of ours"
_DRIVER = "about the driver and Triton's compiler, which the play stands for"
_FAKE = "torch knows a fake device of this name only where there is none"
_SPARSE_ROWS = "compressed sparse matrices cannot be of our class"
_TYPED = "asks for the class of a tensor, which here is ours"
_LAZY = "parameters without a size, and other classes of tensors, cannot be of our class"
#: Tests that the play is not good enough for, by the beginning of their names, and why.
NOT_PLAYED = {
    "tests/conv/test_lazy.py": _LAZY,
    "tests/conv/test_neighbor_attention_conv.py::test_heads_must_divide_the_width": _LAZY,
    "tests/conv/test_pyg_calls.py::test_calls_of_pyg_are_right[widths": _LAZY,
    "tests/conv/test_pyg_calls.py::test_hard_calls_are_right_or_refused_with_the_cause[widths": _LAZY,
    "tests/conv/test_pyg_calls.py::test_what_is_refused_fails_in_pygs": _TYPED,
    "tests/conv/test_adjacency.py::test_every_form_holds_the_same_edges": _TYPED,
    "tests/graph/test_resolver.py::test_a_builder_may_return_an_edge_index_of_pyg": _TYPED,
    "tests/graph/test_static.py::test_compiles_in_one_piece": _COMPILED,
    "tests/graph/test_static.py::test_a_model_can_be_used_and_copied_after_an_export": _COMPILED,
    "tests/models/test_family_contract.py::test_the_graphs_of_a_saved_network_are_drawn": _LAZY,
    "tests/models/test_grad_checkpointing.py::test_a_compiled_model_is_one_graph": _COMPILED,
    "tests/models/test_pooled_graph.py::test_to_sparse_tensor": _SPARSE_ROWS,
    "tests/models/test_pooled_graph.py::test_every_transform_of_pyg_does_what_it_does_to_two_sets_or_is_refused"
    "[ToSparseTensor": _SPARSE_ROWS,
    "tests/models/test_read_model.py::test_a_classifier_of_the_command_line": _LAZY,
    "tests/test_block.py::test_a_gpu_is_not_waited_for": _FAKE,
    "tests/test__fused_layers.py::test_the_position_embedding_keeps_the_type_of_the_map_on_a_gpu": _FAKE,
    "tests/test__low_precision.py::test_what_is_recorded_in_a_cuda_graph_is_not_kept": _FAKE,
    "tests/test__low_precision.py::test_on_a_gpu_no_number_is_read": _FAKE,
    "tests/ops/test__eager.py::test_only_ordinary_eager_calls_are_direct": _FAKE,
    "tests/ops/test__gpu_batch_norm.py::test_maps_keep_their_shape_on_a_gpu": _FAKE,
    "tests/ops/test__gpu_batch_norm.py::test_what_the_kernels_do_not_take_is_left_to_torch": _FAKE,
    "tests/ops/test__grid_bias.py::test_the_operators_keep_torch_s_rules": _FAKE,
    "tests/ops/test__knn.py::test_is_a_registered_operator": _FAKE,
    "tests/ops/test__knn_max_relative.py::test_a_gpu_needs_no_edges_while_nothing_is_exported": _FAKE,
    "tests/ops/test__knn_max_relative.py::test_is_a_registered_operator": _FAKE,
    "tests/ops/test__max_relative.py::test_is_a_registered_operator": _FAKE,
    "tests/test_block.py::test_a_compiler_follows_without_edges": _COMPILED,
    "tests/ops/test__eager.py::test_a_compiler_gets_the_operator": _COMPILED,
    "tests/ops/test__exporting.py": _COMPILED,
    "tests/ops/test__symbolic.py": _COMPILED,
    "tests/ops/test__triton.py::test_a_compiled_program_contains_what_runs": _COMPILED,
    "tests/ops/test__triton.py::test_every_operator_asks_for_the_gpu": _FAKE,
    "tests/ops/test__triton.py::test_gpus_without_fast_products": _DRIVER,
    "tests/ops/test__triton.py::test_a_triton_that_cannot_compile": _DRIVER,
    "tests/ops/test_bias_gelu.py::test_on_a_gpu_it_is_one_operator": _FAKE,
    "tests/ops/test__readable.py::test_heads_of_plain_layers": _LAZY,
    "tests/ops/test__readable.py::test_layers_that_a_tool_replaced_are_called": _LAZY,
}


class OnGPU(Tensor):
    """A tensor of the played device; its numbers are in `held`, on the CPU."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held):
        options = {"dtype": held.dtype, "device": f"{BELOW}:0"}
        if held.layout is torch.strided:
            options |= {"strides": held.stride(), "storage_offset": held.storage_offset()}
        with torch.inference_mode(held.is_inference()):  # views of other tensors are none of that mode inside it
            return torch.Tensor._make_wrapper_subclass(cls, held.size(), **options)

    def __init__(self, held):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    device = property(lambda self: DEVICE)
    is_cuda = property(lambda self: True)
    layout = property(lambda self: self.held.layout)
    is_sparse = property(lambda self: self.held.is_sparse)
    is_sparse_csr = property(lambda self: self.held.is_sparse_csr)

    def get_device(self):
        return DEVICE.index

    def __repr__(self):
        return f"{self.held!r} on {DEVICE}"

    @property
    def data(self):
        return OnGPU(self.held)  # which counts writes anew

    @data.setter
    def data(self, other):
        if not isinstance(other, OnGPU):
            raise RuntimeError(f"incompatible tensor type: {other.device} for {DEVICE}")
        Tensor.data.__set__(self, other)
        self.held = other.held

    def tolist(self):
        return self.cpu().tolist()

    def data_ptr(self):
        return _MEMORY + self.held.data_ptr()

    def untyped_storage(self):
        return self.held.untyped_storage()

    def share_memory_(self):
        return self

    def numpy(self, *, force=False):
        if force:
            return self.detach().cpu().numpy(force=True)
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first.")

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            if not self.is_leaf:
                raise RuntimeError("Only Tensors created explicitly by the user support the deepcopy protocol.")
            memo[id(self)] = twin = OnGPU(copy.deepcopy(self.held, memo)).requires_grad_(self.requires_grad)
            twin.__dict__.update({k: copy.deepcopy(v, memo) for k, v in self.__dict__.items() if k != "held"})
            twin.grad = copy.deepcopy(self.grad, memo)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        """In a file of torch, a tensor of the CPU, which `_loaded` moves back."""
        if _in_file[0]:
            return self._on_the_cpu().__reduce_ex__(protocol)
        return _moved, (self._on_the_cpu(),)

    def _on_the_cpu(self):
        if isinstance(self, torch.nn.Parameter):
            return torch.nn.Parameter(self.held.detach(), self.requires_grad)
        return self.held.detach().requires_grad_(self.requires_grad)


#: Whether torch writes a file.
_in_file = [False]


def _moved(there):
    if isinstance(there, torch.nn.Parameter):
        return torch.nn.Parameter(OnGPU(there.detach()), there.requires_grad)
    return OnGPU(there.detach()).requires_grad_(there.requires_grad)


def _of_held(name):
    def method(self, *args, **kwargs):
        return tree_map(lambda p: OnGPU(p) if isinstance(p, Tensor) else p, getattr(self.held, name)(*args, **kwargs))

    return method


for _name in (
    "coalesce",
    "is_coalesced",
    "indices",
    "values",
    "_indices",
    "_values",
):  # torch looks at the layout first
    setattr(OnGPU, _name, _of_held(_name))


def _saved(*args, save=torch.save, **kwargs):
    _in_file[0] = True
    try:
        return save(*args, **kwargs)
    finally:
        _in_file[0] = False


def _loaded(*args, load=torch.load, map_location=None, **kwargs):
    """What lay on the device before it was saved, all of a test, lies there again."""
    found = load(*args, map_location=map_location, **kwargs)
    if map_location is not None:
        return found
    if isinstance(found, torch.nn.Module):
        return found.to(DEVICE)
    return tree_map(lambda part: part.to(DEVICE) if isinstance(part, Tensor) else part, found)


def run(func, args, kwargs):
    """An operation of the device, where `device` or an argument says so, else of the CPU."""
    leaves = [part for part in tree_leaves((args, kwargs)) if isinstance(part, Tensor)]
    ours = [part for part in leaves if isinstance(part, OnGPU)]
    asked = kwargs.get("device")
    here = _is_ours(asked) if asked is not None else bool(ours)
    if not (here or ours):
        return func(*args, **kwargs)
    _refuse(func, args, leaves, ours)
    if str(func).startswith("vig_pyg."):
        with Dispatch():
            return func.redispatch(torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA), *args, **kwargs)
    if here and asked is not None:
        kwargs = kwargs | {"device": "cpu"}
    given = args
    args, kwargs = tree_map(_held, (args, kwargs))
    out = _rounded_otherwise(func, args, kwargs)
    if _sync_debug_mode[0] == "error" and _waits(func, args, leaves, ours, here):
        raise RuntimeError(f"called a synchronizing CUDA operation: {func}")
    if str(func).startswith("aten._foreach_") and func._schema.is_mutable:  # the kernels for GPUs count these writes
        torch.autograd.graph.increment_version([part for part in given[0] if not part.is_inference()])
    back = {id(part.held): part for part in ours}  # of in-place operations

    def wrap(part):
        if not here or not isinstance(part, Tensor):
            return part
        same = back.get(id(part))
        if same is not None and (same.shape != part.shape or same.stride() != part.stride()):  # as of `squeeze_`
            Tensor.data.__set__(same, OnGPU(part))
        return OnGPU(part) if same is None else same

    return tree_map(wrap, out)


def _rounded_otherwise(func, args, kwargs):
    """An operation whose results differ from those of a CPU in their last bit, as those of a GPU do.

    In products and sums it depends on the shapes, for each of which a GPU takes another kernel; in sums by index on
    the call, as their order does there. What is exact, as sums of whole numbers are, stays.
    """
    name = str(func).removeprefix("aten.").partition(".")[0].removesuffix("_")
    by_index = name in ("scatter_add", "index_add", "scatter_reduce", "upsample_bicubic2d_backward")
    if not by_index and name not in (*_PRODUCTS, "convolution", "sum", "mean"):
        return func(*args, **kwargs)
    exact = func(*tree_map(_doubled, args), **{k: _doubled(v) for k, v in kwargs.items() if k != "dtype"})
    out = func(*args, **kwargs)
    if out.layout is not torch.strided or out.dtype not in ((torch.float32, torch.float64)[: 1 + by_index]):
        return out
    shapes = [part.shape for part in tree_leaves(args) if isinstance(part, Tensor)]
    return moved(out, exact, next(_calls) if by_index else zlib.crc32(repr(shapes).encode()))


_calls = itertools.count()


def moved(out, exact, seed):
    """Let inexact numbers change by one unit, some up and some down; so writes into `out`."""
    if not out.numel():
        return out
    steps = (torch.arange(out.numel()) * 7 + seed) % 3 - 1
    other = (out.double() * (1 + torch.finfo(out.dtype).eps / 2 * steps.view(out.shape))).to(out.dtype)
    if out.dtype is torch.float64:  # of which nobody knows more: these are exact for sure
        exact = torch.where((exact * 2**20).frac() == 0, out, torch.nan)
    return out.copy_(torch.where((exact == out) | ~out.isfinite(), out, other))


def _doubled(part):
    is_number = isinstance(part, Tensor) and part.is_floating_point()
    return part.to(torch.float64, copy=True) if is_number else part


def _is_ours(device):
    return torch.device(device).type in (DEVICE.type, BELOW)


def _held(part):
    return part.held if isinstance(part, OnGPU) else part


@contextmanager
def _on_the_cpu():
    """Inside, nothing is played."""
    with _disable_current_modes(), torch.device("cpu"):
        yield


def _refuse(func, args, leaves, ours):
    """Raise the errors of a GPU."""
    name = str(func)
    others = [part for part in leaves if not isinstance(part, OnGPU) and part.dim()]
    of_indices = name.startswith(("aten.index.Tensor", "aten.index_put", "aten._unsafe_index"))
    if ours and others and (not name.startswith(_ANY_DEVICE) or (of_indices and not isinstance(args[0], OnGPU))):
        raise RuntimeError(f"Expected all tensors to be on the same device, but {name} got {DEVICE} and cpu.")
    if name.startswith(tuple(f"aten.{product}." for product in _PRODUCTS)):
        if not ours[0].is_floating_point() and not ours[0].is_complex():
            raise RuntimeError(f'"{name}_cuda" not implemented for {ours[0].dtype}')
        if torch.are_deterministic_algorithms_enabled():
            raise RuntimeError(f"{name} is not deterministic because it uses CuBLAS: set CUBLAS_WORKSPACE_CONFIG.")


_sync_debug_mode = ["default"]


def _waits(func, args, leaves, ours, here):
    """Whether the program waits for the GPU here."""
    name = str(func)
    if name.startswith(("aten._to_copy", "aten.copy_")):
        return len(ours) < len(leaves) or not here
    if name.startswith(("aten.index.Tensor", "aten.index_put")):
        return any(part.dtype is torch.bool for part in args[1] if part is not None)
    return name.startswith(_WAITS)


class Dispatch(TorchDispatchMode):
    """New tensors on the device, which no argument tells of."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


class Names(TorchFunctionMode):
    """The device by its name, and generators by theirs."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.device:
            return func(*args, **kwargs)
        generator = kwargs.get("generator")
        if generator is not None:
            first = (
                args[0].device
                if args and isinstance(args[0], Tensor)
                else kwargs.get("device") or torch.get_default_device()
            )
            if torch.device(first).type != generator.device.type:
                raise RuntimeError(f"Expected a '{first}' device type for generator but found '{generator.device}'")
        args, kwargs = tree_map(_below, (tuple(args), kwargs))
        if func in _SPARSE and _is_ours(kwargs.get("device") or torch.get_default_device()):
            held = tree_map(_held, (args, kwargs | {"device": "cpu"}))
            return OnGPU(func(*held[0], **held[1]))
        if str(func).startswith(_BELOW_THE_MODES):
            return run(func, args, kwargs)
        return func(*args, **kwargs)


def _below(part):
    is_device = isinstance(part, torch.device) or (isinstance(part, str) and part.startswith(DEVICE.type))
    return torch.device(BELOW, 0) if is_device and torch.device(part).type == DEVICE.type else part


class Generator(torch.Generator):
    """A generator that says where it is; the numbers are those of the CPU."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made._place = torch.device(device)
        return made

    device = property(lambda self: self._place)


class Backend:
    """What torch asks a device for that Python defines."""

    get_rng_state = staticmethod(lambda *_: torch.get_rng_state())
    set_rng_state = staticmethod(lambda state, *_: torch.set_rng_state(state))
    is_available = is_initialized = staticmethod(lambda: True)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = synchronize = staticmethod(lambda *_: None)
    device_count = staticmethod(lambda: 1)
    current_device = staticmethod(lambda: 0)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])


#: What autocast computes in its type, and what in float32: of torch's lists, what this package and its tests call.
_LOWER = ("linear", "matmul", "mm", "addmm", "bmm", "baddbmm", "einsum", "conv1d", "conv2d", "mv", "prelu")
_LOWER += ("scaled_dot_product_attention",)
_FULL = ("layer_norm", "group_norm", "softmax.int", "log_softmax.int", "exp", "log", "pow.Tensor_Scalar", "rsqrt")
_FULL += ("cumsum", "cdist", "cosine_similarity", "cross_entropy_loss", "mse_loss", "nll_loss", "prod", "sum")
_FULL += ("norm.Scalar", "norm.ScalarOpt_dim", "norm.ScalarOpt_dim_dtype", "linalg_vector_norm", "softplus")


def _autocast_as_a_gpu(library):
    """Registers what autocast does for tensors of the device, and turns it on with that of GPUs."""
    for names, lower in ((_LOWER, True), (_FULL, False)):
        for name in names:
            library.impl(name, _cast(name, lower), "AutocastPrivateUse1")


def _cast(name, lower):
    packet, _, overload = name.partition(".")
    operator = getattr(getattr(torch.ops.aten, packet), overload or "default")

    def call(*args, **kwargs):
        to = torch.get_autocast_dtype(DEVICE.type) if lower else torch.float32

        def cast(part):
            eligible = isinstance(part, OnGPU) and part.is_floating_point() and part.dtype is not torch.float64
            return part.to(to) if eligible and part.dtype is not to else part

        with torch._C._ExcludeDispatchKeyGuard(_AUTOCAST):
            args, kwargs = tree_map(cast, (args, kwargs))
            return operator(*args, **kwargs)

    return call


_AUTOCAST = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)


class Autocast(torch.autocast):
    """Autocast of the device, below Python too."""

    def __enter__(self):
        if self.device == DEVICE.type:
            self.before = torch.is_autocast_enabled(BELOW)
            torch.set_autocast_enabled(BELOW, self._enabled)
        return super().__enter__()

    def __exit__(self, *error):
        if self.device == DEVICE.type:
            torch.set_autocast_enabled(BELOW, self.before)
        return super().__exit__(*error)


def _in_place_of_the_driver():
    """What is asked of torch's library for GPUs and of its driver, with the answers of the played device."""
    answers = {
        "is_available": True,
        "is_initialized": True,
        "_lazy_init": None,
        "_is_in_bad_fork": False,
        "device_count": 1,
        "current_device": DEVICE.index,
        "_exchange_device": DEVICE.index,
        "_maybe_exchange_device": DEVICE.index,
        "is_bf16_supported": True,
        "is_current_stream_capturing": False,
        "synchronize": None,
        "manual_seed_all": None,
        "get_device_capability": (9, 0),
        "get_device_name": "a played GPU",
    }
    for name, answer in answers.items():
        yield patch.object(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    yield patch.object(torch.cuda, "current_stream", lambda *_: Mock(cuda_stream=0))
    yield patch.object(torch.cuda, "set_sync_debug_mode", lambda mode: _sync_debug_mode.__setitem__(0, mode))
    yield patch.object(torch.cuda, "get_rng_state", Backend.get_rng_state)
    yield patch.object(torch.cuda, "set_rng_state", Backend.set_rng_state)
    yield patch.object(torch, "Generator", Generator)
    yield patch.object(torch, "save", _saved)
    yield patch.object(torch, "load", _loaded)
    yield patch.object(torch, "autocast", Autocast)
    yield patch.object(torch.amp, "autocast", Autocast)


def _in_place_of_the_interpreter():
    """Where Triton's interpreter takes tensors, and what it does otherwise than a GPU with bfloat16."""
    import numpy as np
    import triton.language as tl
    from triton.runtime import interpreter

    launch, convert = interpreter.GridExecutor.__call__, interpreter._convert_float
    dot = interpreter.InterpreterBuilder.create_dot

    def launch_here(self, *args, **kwargs):
        args, kwargs = tree_map(_held, (args, kwargs))
        with _on_the_cpu():
            return launch(self, *args, **kwargs)

    def widened(data):
        return (data.view(np.uint16).astype(np.uint32) << 16).view(np.float32)

    def convert_here(data, of, to, rounding):
        """It cuts off what a GPU rounds, and takes long."""
        if of == tl.bfloat16 and to == tl.float32:
            return widened(np.ascontiguousarray(data)).view(np.uint32)
        if of == tl.float32 and to == tl.bfloat16:
            with _on_the_cpu():
                numbers = torch.from_numpy(np.array(data).view(np.float32))
                return numbers.bfloat16().view(torch.int16).numpy().view(np.uint16)
        return convert(data, of, to, rounding)

    def dot_here(self, a, b, d, *options):
        """It multiplies the bits of bfloat16 as if they were whole numbers."""
        a, b = (
            interpreter.TensorHandle(widened(np.ascontiguousarray(part.data)), tl.float32)
            if part.dtype.scalar == tl.bfloat16
            else part
            for part in (a, b)
        )
        return dot(self, a, b, d, *options)

    yield patch.object(interpreter.GridExecutor, "__call__", launch_here)
    yield patch.object(interpreter, "_convert_float", convert_here)
    yield patch.object(interpreter.InterpreterBuilder, "create_dot", dot_here)


def _in_place_of_kernels():
    """Outside the tests of kernels, for which the interpreter takes seconds each, torch computes what they do."""
    from tests import played_kernels
    from vig_pyg.ops import (
        _triton_batch_norm,
        _triton_bias_gelu,
        _triton_knn,
        _triton_max_relative,
        _triton_scatter_winners,
    )

    modules = _triton_batch_norm, _triton_bias_gelu, _triton_knn, _triton_max_relative, _triton_scatter_winners
    for module in modules:
        for name in set(played_kernels.STAND_INS) & set(vars(module)):
            yield patch.object(module, name, _stand_in(getattr(module, name), played_kernels.STAND_INS[name]))


def _stand_in(kernel, stand_in):
    def call(*args, **kwargs):
        held = tree_map(_held, (args, kwargs))
        with _on_the_cpu():
            found = NotImplemented if interpreted[0] else stand_in(*held[0], **held[1])
        if found is NotImplemented:
            return kernel(*args, **kwargs)
        return tree_map(lambda part: OnGPU(part) if isinstance(part, Tensor) else part, found)

    return call


def _in_place_of_the_package():
    """Where the package looks at types and modes of tensors, or starts threads or kernels."""
    from vig_pyg.ops import _eager, _readable, _triton

    is_eager = _eager._is_eager

    def is_eager_here(tensors, device):
        (modes, plain) = torch.utils._python_dispatch._get_current_dispatch_mode_stack(), _eager._PLAIN
        if len(modes) > 1 or not all(type(part) in (*plain, OnGPU) and part.device.type == device for part in tensors):
            return False
        with _disable_current_modes():
            return is_eager(tuple(_held(part) for part in tensors), "cpu")

    yield patch.object(_eager, "_is_eager", is_eager_here)
    yield patch.object(_readable, "_OWN_NUMBERS", (*_readable._OWN_NUMBERS, OnGPU))
    yield patch.object(_triton, "_compiler_fault", cache(lambda: ""))
    yield patch("vig_pyg.position.ThreadPoolExecutor", InThisThread)
    yield patch("vig_pyg.graph.static.ThreadPoolExecutor", InThisThread)
    yield patch("vig_pyg.graph.static.Tensor", OnGPU)  # it asks for the type


def play():
    """From now on, this process has the device, and new tensors are on it."""
    _setup_privateuseone_for_python_backend(BELOW, Backend)
    torch._C._set_only_lift_cpu_tensors(True)  # `torch.tensor` then moves what it made
    library = torch.library.Library("aten", "IMPL")
    _autocast_as_a_gpu(library)
    every = torch.library.Library("_", "IMPL")
    every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    kept.extend([library, every])
    for replace in (
        _in_place_of_the_driver,
        _in_place_of_the_interpreter,
        _in_place_of_kernels,
        _in_place_of_the_package,
    ):
        for replaced in list(replace()):
            replaced.start()
    Names().__enter__()
    torch.set_default_device(DEVICE)  # with its index: torch would ask the driver for it
    Dispatch().__enter__()


#: Registrations last as long as they are kept.
kept = []
#: Whether all kernels run in the interpreter, not only those for which it takes no seconds.
interpreted = [False]
