import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from tests.processes import server
from vig_pyg import vig_micro
from vig_pyg.engine.sync_norm import SyncNorm, sync_norms


def share(rank, world, port, folder):
    """Forward and backward of one process on its part of the data."""
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    x, grad = torch.load(folder / "data.pt")
    mine = x[:3] if rank == 0 else x[3:]  # unequal on purpose
    mine = mine.clone().requires_grad_()
    norm = SyncNorm(4).double()
    out = norm(mine)
    out.backward(grad[:3] if rank == 0 else grad[3:])
    torch.save((out.detach(), mine.grad, norm.running_mean, norm.running_var), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_make_one_batch(tmp_path, free_port):
    x, grad = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    torch.save((x, grad), tmp_path / "data.pt")
    server()
    mp.start_processes(share, (2, free_port, tmp_path), nprocs=2, start_method="forkserver")
    norm, whole = nn.BatchNorm1d(4).double(), x.clone().requires_grad_()
    out = norm(whole)
    out.backward(grad)
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([part[0] for part in parts]), out)
    torch.testing.assert_close(torch.cat([part[1] for part in parts]), whole.grad)
    for part in parts:
        torch.testing.assert_close(part[2], norm.running_mean)
        torch.testing.assert_close(part[3], norm.running_var)


def test_a_network_keeps_its_values():
    model = vig_micro(num_classes=2, depth=1).eval()
    images, state = torch.randn(2, 3, 32, 32), {k: v.clone() for k, v in model.state_dict().items()}
    with torch.no_grad():
        before = model(images)
        sync_norms(model, torch.device("cpu"))
        assert not [m for m in model.modules() if type(m) in (nn.BatchNorm1d, nn.BatchNorm2d)]
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
        torch.testing.assert_close(model(images), before)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 3)])
def test_alone_it_is_an_ordinary_one(shape):
    x = torch.randn(shape)
    plain = nn.BatchNorm1d(4) if len(shape) == 2 else nn.BatchNorm2d(4)
    torch.testing.assert_close(SyncNorm(4)(x), plain(x))
