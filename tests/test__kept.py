import sys
import threading
from types import SimpleNamespace

import torch
from torch import nn

from tests.fake_gpu import fake_gpu
from vig_pyg import _low_precision, graph
from vig_pyg._kept import Kept, settle
from vig_pyg.data import BatchLayout


def test_one_entry_is_kept_for_its_key():
    kept, made = Kept(), []
    for key in (1, 1, 2, 2, 1):
        assert kept.get(key, lambda key=key: made.append(key) or key * 10) == key * 10
    assert made == [1, 2, 1]


def test_threads_get_the_values_of_their_keys():
    kept, wrong, before = Kept(), [], sys.getswitchinterval()

    def ask(key):
        for _ in range(3000):
            if kept.get(key, lambda: [key]) != [key]:
                wrong.append(key)

    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=ask, args=(key,)) for key in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert not wrong


def test_cleared_it_makes_again():
    kept = Kept()
    first = kept.get("a", lambda: [1])
    kept.clear()
    assert kept.get("a", lambda: [2]) == [2] != first


def on_a_gpu(index):
    return SimpleNamespace(is_cuda=True, device=torch.device("cuda", index))


def test_each_gpu_of_cached_tensors_is_waited_for_once(monkeypatch):
    waited = []
    stream = lambda device: SimpleNamespace(synchronize=lambda: waited.append(device.index))  # noqa: E731
    monkeypatch.setattr(torch.cuda, "current_stream", stream)
    settle(on_a_gpu(1), on_a_gpu(0), on_a_gpu(1), torch.zeros(1, device="cpu"))
    assert sorted(waited) == [0, 1]
    with fake_gpu():
        settle(torch.empty(3, device="cuda"))  # there is nothing to wait for
    settle()
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    settle(on_a_gpu(0))  # waiting would end the capture of a CUDA graph
    assert len(waited) == 2


def test_what_is_cached_is_written_before_others_get_it(monkeypatch):
    """Another thread may read it on a stream of its own, as soon as it is in the cache."""
    waited = []
    for module in (_low_precision, graph.static):
        monkeypatch.setattr(module, "settle", lambda *tensors: waited.append([tensor.clone() for tensor in tensors]))
    layer, low = nn.Linear(4, 4), _low_precision.LowPrecision()
    monkeypatch.setattr(_low_precision, "_OnCPU", _low_precision._OnDevice)
    for _ in range(2):
        low.of(layer, torch.bfloat16)
    with torch.no_grad():
        layer.weight.add_(1)
    for _ in range(2):
        both = low.of(layer, torch.bfloat16)
    assert len(waited) == 2 and all(torch.equal(a, b) for a, b in zip(waited[1], both, strict=True))
    grid, layout = graph.GridGraph(), BatchLayout.from_grid((3, 3), 2)
    for _ in range(2):
        edges = grid(torch.zeros(18, 1), layout, torch.zeros(18, 1), layout)
    assert len(waited) == 3 and torch.equal(waited[2][0], edges)
