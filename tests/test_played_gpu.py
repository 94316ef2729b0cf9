"""The rehearsal of the tests for GPUs: that it refuses what a GPU refuses, and all of it at night."""

import subprocess
import sys

import pytest
import torch

from tests.conftest import ON_ANY_DEVICE

PLAYED = torch.empty(0).is_cuda and torch.cuda.get_device_name() == "a played GPU"
on_the_played_gpu = pytest.mark.skipif(not PLAYED, reason="about the played GPU")
elsewhere = pytest.mark.skipif(torch.get_default_device().type != "cpu", reason="starts a process that plays one")
#: A few tests of each kind: graphs, operators, models, and those below.
SOME = (
    "tests/test_played_gpu.py",
    "tests/test_head.py",
    "tests/graph/test_search.py::test_features_keep_their_gradients",
    "tests/conv/test_node_update.py",
    "tests/models/test_read_model.py::test_several_dtypes_are_kept",
)


@on_the_played_gpu
def test_it_says_that_it_is_one():
    x = torch.rand(2, 3)
    assert x.device == torch.device("cuda", 0) and x.is_cuda and not x.is_cpu and x.cpu().device.type == "cpu"
    assert torch.tensor([1.5]).is_cuda and torch.nn.Linear(2, 3).weight.is_cuda and x.to("cuda") is x
    assert x.tolist() == x.cpu().tolist() and x.sum().item() == x.cpu().sum().item()
    assert not torch.from_numpy(x.cpu().numpy()).is_cuda


@on_the_played_gpu
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: x + x.cpu(), "same device"),
        (lambda x: torch.equal(x, x.cpu()), "same device"),
        (lambda x: x.cpu()[torch.tensor([0])], "same device"),
        (lambda x: x.numpy(), "can't convert cuda:0"),
        (lambda x: x.long() @ x.long().t(), "not implemented for torch.int64"),
        (lambda x: torch.randperm(4, generator=torch.Generator()), "device type for generator"),
    ],
)
def test_it_refuses_what_a_gpu_refuses(wrong, message):
    with pytest.raises((RuntimeError, TypeError), match=message):
        wrong(torch.rand(2, 3))


@on_the_played_gpu
def test_it_takes_what_a_gpu_takes():
    x, index = torch.rand(4, 3), torch.tensor([2, 0], device="cpu")
    assert torch.equal(x[index], x[index.to("cuda")]) and (x + torch.tensor(1.0, device="cpu")).is_cuda
    x.requires_grad_()
    (x.double() @ x.double().t()).sum().backward()
    assert x.grad.is_cuda
    with torch.autocast("cuda", torch.bfloat16):
        assert (x @ x.t()).dtype == torch.bfloat16 and x.cpu().dtype == torch.float32


@on_the_played_gpu
def test_sums_have_no_fixed_order():
    index, x = torch.zeros(1000, dtype=torch.long), torch.rand(1000, 50)
    first, second = (torch.zeros(1, 50).index_add_(0, index, x) for _ in range(2))
    assert not torch.equal(first, second)
    torch.testing.assert_close(first, second)
    assert torch.zeros(1, 50).index_add_(0, index, x.round()).frac().eq(0).all()


def rehearse(*names):
    """What these tests print there. Of those that last long on a played GPU, the beginning has to do."""
    command = [sys.executable, "-m", "pytest", "--device", "played-cuda", "--longest", "20", "-q"]
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider", *names], capture_output=True, text=True, timeout=7200, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


@elsewhere
def test_some_tests_for_gpus_run_on_it():
    assert " passed" in rehearse(*SOME)


@elsewhere
@pytest.mark.slow
@pytest.mark.parametrize("name", ON_ANY_DEVICE)
def test_the_tests_for_gpus_run_on_it(name):
    assert " passed" in rehearse(name)  # not all of them are left out
