import argparse
import pickle

import pytest
import torch

from tests.weights.common import Payload, copied, same
from vig_pyg import vig_micro, weights

SUFFIXES = [".pth", ".pth.tar", ".safetensors"]
#: Contents that are no weights, and the reason that is given.
DAMAGED = {
    "empty": (lambda whole: b"", r"is empty: download it again"),
    "text": (lambda whole: b"not weights at all", r"is damaged, truncated or not a weight file \(18 bytes\)"),
    "half": (lambda whole: whole[: len(whole) // 2], r"is damaged, truncated or .* nothing in it was run\. Download"),
    "few bytes": (lambda whole: whole[:60], r"is damaged, truncated or not a weight file \(60 bytes\)"),
    "page": (
        lambda whole: b"\n <!DOCTYPE html><p>404",
        r"is a web page, not weights \(it starts with '<!DOCTYPE html>'",
    ),
    "photo": (
        lambda whole: b"\xff\xd8\xff\xe0\x00\x10JFIF",
        r"is an image, not weights: pass a weight file or the folder",
    ),
    "pointer": (lambda whole: b"version https://git-lfs.github.com/spec/v1\n", r"is a Git LFS pointer, not weights"),
}


def save(state, path):
    if path.suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save(state, path)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path, suffix, kind):
    path, model = tmp_path / f"weights{suffix}", vig_micro()
    save(vig_micro().state_dict(), path)
    spoil, message = DAMAGED[kind]
    path.write_bytes(spoil(path.read_bytes()))
    before = copied(model)
    with pytest.raises(ValueError, match=rf"weights{suffix} {message}"):
        weights.load_weights(model, path)
    assert same(model.state_dict(), before)


@pytest.mark.parametrize("at", [1, 40, 200])
def test_a_file_with_wrong_bytes_in_its_pickle_is_refused(tmp_path, at):
    state, path = {"a": torch.zeros(2), "b": torch.ones(3)}, tmp_path / "weights.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    content = bytearray(path.read_bytes())
    content[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"weights\.pth is damaged"):
        weights.read_state(path)


def write_zip(thing, path):
    torch.save(thing, path)


def write_legacy(thing, path):
    torch.save(thing, path, _use_new_zipfile_serialization=False)


def write_pickle(thing, path):
    path.write_bytes(pickle.dumps(thing))


def write_old_pickle(thing, path):
    path.write_bytes(pickle.dumps(thing, protocol=2))


@pytest.mark.parametrize("write", [write_zip, write_legacy, write_pickle, write_old_pickle])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path, write):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    write({"state_dict": Payload(trace)}, path)
    model = vig_micro()
    before = copied(model)
    with pytest.raises(ValueError, match=r"weights\.pth .*nothing in it was run"):
        weights.load_weights(model, path)
    assert not trace.exists() and same(model.state_dict(), before)
    if "pickle" in write.__name__:
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert trace.exists()  # it would have run


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_torch_itself_runs_nothing_either(tmp_path, monkeypatch, write):
    """Where the check before it has a hole, torch's own is behind it."""
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    write({"state_dict": Payload(trace)}, path)
    monkeypatch.setattr("vig_pyg.checkpoints.read.check_torch_file", lambda file, size: None)
    with pytest.raises(ValueError, match=r"weights\.pth .*nothing in it was run"):
        weights.read_state(path)
    assert not trace.exists()


def test_the_code_that_a_file_asks_for_is_named(tmp_path):
    torch.save({"state_dict": {}, "helper": Payload(tmp_path / "trace")}, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"contains more than tensors: reading it would execute \S*exec\. It is ref"):
        weights.read_state(tmp_path / "weights.pth")


def test_a_namespace_is_read_and_anything_else_in_it_refused(tmp_path):
    path, trace, model = tmp_path / "official.pth.tar", tmp_path / "trace", vig_micro()
    options = argparse.Namespace(lr=2e-3, betas=(0.9, 0.999), model="vig_ti_224_gelu", resume=None)
    torch.save({"state_dict": model.state_dict(), "args": options, "epoch": 300, "metric": 74.5}, path)
    content = weights.read_state(path)
    assert content["args"] == options and same(content["state_dict"], model.state_dict())
    assert argparse.Namespace not in torch.serialization.get_safe_globals()  # nothing stays allowed
    torch.save({"state_dict": {}, "args": argparse.Namespace(hook=Payload(trace))}, path)
    with pytest.raises(ValueError, match="contains more than tensors"):
        weights.read_state(path)
    assert not trace.exists()


def test_a_file_of_something_else_is_refused(tmp_path):
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(ValueError, match=r"list.pth contains a list, expected a state dict"):
        weights.load_weights(vig_micro(), tmp_path / "list.pth")


def test_a_whole_model_in_a_file_is_refused(tmp_path):
    torch.save(vig_micro(), tmp_path / "model.pth")
    with pytest.raises(
        ValueError, match=r"contains more than tensors: .* save only its state dict: torch\.save\(model\."
    ):
        weights.read_state(tmp_path / "model.pth")


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no weight file at .*nothing.pth"):
        weights.load_weights(vig_micro(), tmp_path / "nothing.pth")
    with pytest.raises(IsADirectoryError, match=rf"{tmp_path} is a folder, expected a weight file"):
        weights.load_weights(vig_micro(), tmp_path)


def test_of_the_folder_of_a_model_its_weights_are_read(tmp_path):
    model, other = vig_micro(), vig_micro()
    model.save_pretrained(tmp_path / "run")
    weights.load_weights(other, tmp_path / "run")
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("state", [{}, {"state_dict": {}}, {"model": {"state_dict": {}}}])
def test_an_empty_state_dict_is_refused(make, state):
    with pytest.raises(ValueError, match="Expected a state dict of tensors, got an empty one"):
        weights.load_weights(make(), state)


def test_wrappers_in_wrappers_and_prefixes_on_prefixes_come_off():
    one = torch.zeros(1)
    assert weights.unwrap_state_dict({"model": {"state_dict": {"module._orig_mod.a": one}, "epoch": 1}}) == {"a": one}
    assert weights.unwrap_state_dict({"n_averaged": torch.tensor(3), "module.a": one}) == {"a": one}
    assert weights.unwrap_state_dict({"module.a": one, "b": one}) == {"module.a": one, "b": one}  # not a prefix of all


def test_what_is_no_tensor_is_named():
    with pytest.raises(ValueError, match=r"got other values at 3; optimizer"):
        weights.unwrap_state_dict({"a": torch.zeros(1), "optimizer": {}, 3: torch.zeros(1)})


@pytest.mark.parametrize("make", [lambda: torch.eye(3).to_sparse(), lambda: torch.eye(3).to_sparse_csr()])
def test_tensors_that_are_not_plain_are_named(make):
    with pytest.raises(ValueError, match="Expected plain tensors, got sparse, quantized or nested ones at b"):
        weights.unwrap_state_dict({"a": torch.zeros(1), "b": make()})


def test_circles_and_endless_prefixes_are_refused():
    circle = {"epoch": 1}
    circle["model"] = circle
    with pytest.raises(ValueError, match="more than 8 wrappers"):
        weights.unwrap_state_dict(circle)
    with pytest.raises(ValueError, match="more than 8 prefixes"):
        weights.unwrap_state_dict({"module." * 100_000 + "a": torch.zeros(1)})
    assert weights.unwrap_state_dict({"module." * 7 + "a": torch.zeros(1)}).keys() == {"a"}


def test_the_ending_may_be_large(tmp_path):
    state = {"a": torch.ones(2)}
    save(state, tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").rename(tmp_path / "A.SAFETENSORS")
    assert same(weights.read_state(tmp_path / "A.SAFETENSORS"), state)
