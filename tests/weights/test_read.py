import pickle

import pytest
import torch

from tests.weights.common import Payload, copied, same
from vig_pyg import vig_micro, weights


@pytest.mark.parametrize("save", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, protocol=2))])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, save):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    save({"state_dict": Payload(trace)}, path)
    model = vig_micro()
    before = copied(model)
    with pytest.raises(ValueError, match=r"weights.pth holds more than tensors, or is damaged"):
        weights.load_weights(model, path)
    assert not trace.exists() and same(model.state_dict(), before)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", ["empty", "text", "half"])
def test_a_damaged_file_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"weights{suffix}"
    save = torch.save if suffix == ".pth" else pytest.importorskip("safetensors.torch").save_file
    save(vig_micro().state_dict(), path)
    whole = path.read_bytes()
    path.write_bytes({"empty": b"", "text": b"not weights at all", "half": whole[: len(whole) // 2]}[content])
    with pytest.raises(ValueError, match=f"weights{suffix} holds more than tensors, or is damaged"):
        weights.load_weights(vig_micro(), path)


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list.pth holds a list, expected a state dict"):
        weights.load_weights(vig_micro(), tmp_path / "list.pth")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file of weights at .*nothing.pth"):
        weights.load_weights(vig_micro(), tmp_path / "nothing.pth")


@pytest.mark.parametrize("state", [{}, {"state_dict": {}}])
def test_an_empty_state_dict_is_refused(make, state):
    with pytest.raises(ValueError, match="Expected a state dict of tensors, got an empty one"):
        weights.load_weights(make(), state)
