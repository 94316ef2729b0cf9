import inspect

import pytest
import torch
import triton

from vig_pyg.ops import _triton_launch
from vig_pyg.ops._triton_launch import launch, power_of_two


class Kernel:
    """Stands for a kernel: notes how it is launched."""

    arg_names = ("x", "n", "SIZE", "FLAG")

    def __init__(self):
        self.compiled, self.launched = [], []

    def __getitem__(self, grid):
        def run(*args, **constants):
            self.compiled.append((grid, args, constants))
            return Compiled(self)

        return run


class Compiled:
    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        return lambda *args: self.kernel.launched.append((grid, args))


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch):
    monkeypatch.setattr(_triton_launch, "_COMPILED", {})
    monkeypatch.setattr(_triton_launch, "_BINDS", [])


def test_the_second_launch_binds_nothing():
    kernel, x = Kernel(), torch.zeros(8)
    for n in (7, 9):
        launch(kernel, (3, 2), (x, n), {"SIZE": 4, "FLAG": True}, num_warps=4)
    assert kernel.compiled == [((3, 2), (x, 7), {"SIZE": 4, "FLAG": True, "num_warps": 4})]
    ((grid, args),) = kernel.launched
    assert grid == (3, 2, 1) and args == (x.data_ptr(), 9, 4, True)


@pytest.mark.parametrize(
    "other",
    [
        {"x": torch.zeros(8, dtype=torch.bfloat16)},
        {"x": torch.zeros(8)[1:]},  # 4 bytes further: another alignment
        {"x": None, "first": torch.zeros(8)},
        {"n": 1},
        {"n": 32},
        {"n": 2**31},
        {"size": 8},
        {"warps": 8},
    ],
)
def test_what_a_kernel_depends_on_compiles_another(other):
    kernel, first = Kernel(), torch.zeros(8)

    def call(x=first, n=7, size=4, warps=4, **_):
        launch(kernel, (1,), (first, x, n), {"FLAG": size}, num_warps=warps)

    kernel.arg_names = ("first", "x", "n", "FLAG")
    call()
    call(**other)
    assert len(kernel.compiled) == 2 and not kernel.launched
    call()
    call(**other)
    assert len(kernel.compiled) == 2 and len(kernel.launched) == 2


def test_what_the_interpreter_runs_is_not_kept():
    kernel, calls = Kernel(), []
    kernel.__class__ = type("Interpreted", (Kernel,), {"__getitem__": lambda *_: lambda *args, **_: calls.append(args)})
    for _ in range(2):
        launch(kernel, (1,), (torch.zeros(1), 2), {"SIZE": 1, "FLAG": 2})
    assert len(calls) == 2


@pytest.mark.parametrize("constants", [{"FLAG": True, "SIZE": 4}, {"SIZE": 4}, {}])
def test_constants_stand_in_the_order_of_the_kernel(constants):
    with pytest.raises(TypeError, match="Expected the constants"):
        launch(Kernel(), (1,), (torch.zeros(1), 2), constants)


class Launcher(Compiled):
    """As Triton's compiled kernels are: `run` is what launches, `__getitem__` tells hooks of it before."""

    function, packed_metadata = 17, (4, 1)

    def run(self, x, y, z, stream, function, metadata, told, before, after, *args):
        assert (function, metadata, told, before, after) == (17, (4, 1), None, None, None)
        self.kernel.launched.append(((x, y, z), stream, args))


def test_a_launch_happens_on_the_gpu_of_its_tensors(monkeypatch):
    """With each GPU's own compiled kernel, on its own current stream."""
    current, streams, x = [0], [], torch.zeros(8, device="cpu")

    class On:
        def __init__(self, device):
            self.device, self.before = device, current[0]

        def __enter__(self):
            current[0] = self.device

        def __exit__(self, *_):
            current[0] = self.before

    class Compiled(Launcher):
        def run(self, x, y, z, stream, *args):
            streams.append((current[0], stream))

    class Kernels(Kernel):
        def __getitem__(self, grid):
            run = super().__getitem__(grid)
            return lambda *args, **constants: (
                streams.append((current[0], "compiled")) or (run(*args, **constants) and Compiled(self))
            )

    kernel = Kernels()
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[0])
    monkeypatch.setattr(torch.cuda, "device", On)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda device: 100 + device, raising=False)
    for device in (1, 1, 0, 1, 0):
        monkeypatch.setattr(torch.Tensor, "get_device", lambda _, device=device: device)
        launch(kernel, (1,), (x, 7), {"SIZE": 4, "FLAG": True})
        assert current == [0]
    assert streams == [(1, "compiled"), (1, 101), (0, "compiled"), (1, 101), (0, 100)]


@pytest.mark.parametrize("hooked", [None, "launch_enter_hook", "launch_exit_hook"])
def test_hooks_are_told_of_launches(hooked, monkeypatch):
    kernel = Kernel()
    compiled = Launcher(kernel)
    monkeypatch.setattr(torch._C, "_cuda_getCurrentRawStream", lambda device: 100 + device, raising=False)
    if hooked is None:
        _triton_launch._run(compiled, (3, 2, 1), 1, (5, 6))
        assert kernel.launched == [((3, 2, 1), 101, (5, 6))]
        return
    hook, noted = getattr(triton.knobs.runtime, hooked), []
    hook.add(noted.append)
    try:
        _triton_launch._run(compiled, (3, 2, 1), 1, (5, 6))
    finally:
        hook.remove(noted.append)
    assert kernel.launched == [((3, 2, 1), (5, 6))]  # by `__getitem__`, which tells them


def test_the_compiled_kernels_of_this_triton_are_launched_so():
    """Its own `__getitem__` passes to `run` what is passed here, so that nothing of it is left out."""
    source = inspect.getsource(triton.compiler.CompiledKernel.__getitem__).replace(" ", "").replace("\n", "")
    call = "self.run(grid[0],grid[1],grid[2],stream,self.function,self.packed_metadata,launch_metadata,"
    assert call + "knobs.runtime.launch_enter_hook,knobs.runtime.launch_exit_hook,*args)" in source


def test_powers_of_two():
    assert [power_of_two(n) for n in (1, 2, 3, 4, 5, 196, 256, 257)] == [1, 2, 4, 4, 8, 256, 256, 512]


@pytest.mark.parametrize("error", [TypeError, AttributeError])
def test_a_triton_that_launches_in_another_way_binds_every_launch(error):
    class Other(Compiled):
        def __getitem__(self, grid):
            raise error("function takes exactly 3 arguments")

    class Kernels(Kernel):
        def __getitem__(self, grid):
            run = super().__getitem__(grid)
            return lambda *args, **constants: run(*args, **constants) and Other(self)

    kernel, x = Kernels(), torch.zeros(8)
    for n in (7, 9, 11):
        launch(kernel, (1,), (x, n), {"SIZE": 4, "FLAG": True})
    assert [args[1] for _, args, _ in kernel.compiled] == [7, 9, 11] and not _triton_launch._COMPILED
