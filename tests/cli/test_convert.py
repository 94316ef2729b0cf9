import itertools
import json

import pytest
import torch

from tests.cli.common import fails
from tests.weights.common import (
    FAMILIES,
    FORMATS,
    Payload,
    closed_address,
    drawn,
    make_entry,
    official_file,
    same,
    serving,
)
from vig_pyg import pvig_micro, vig_micro, weights
from vig_pyg.cli import main


def run(*argv):
    return main(["convert", *map(str, argv)])


def raw_bytes(tensor):
    return tensor.dtype, tuple(tensor.shape), tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize(("one", "two"), [*itertools.product(FORMATS, FORMATS)])
@pytest.mark.parametrize("family", FAMILIES)
def test_there_and_back_gives_identical_bytes(tmp_path, family, one, two):
    model = drawn(FAMILIES[family]())
    original = weights.convert(model, one)
    torch.save({"state_dict": original}, tmp_path / "one.pth")
    assert run(tmp_path / "one.pth", tmp_path / "two.safetensors", "--format", two) == 0
    assert weights.detect_format(weights.read_state(tmp_path / "two.safetensors")) == two
    assert run(tmp_path / "two.safetensors", tmp_path / "back.pth", "--format", one) == 0
    back = weights.read_state(tmp_path / "back.pth")
    assert list(back) and back.keys() == original.keys()
    assert all(raw_bytes(back[key]) == raw_bytes(original[key]) for key in original)


def test_it_says_what_it_did(tmp_path, capsys):
    state = weights.convert(pvig_micro(), "official")
    tables = {f"backbone.{i}.0.relative_pos": torch.zeros(1, 256, 16) for i in (0, 2)}
    torch.save({"model": state | tables}, tmp_path / "in.pth")
    assert run(tmp_path / "in.pth", tmp_path / "new" / "out.pth", "--format", "mmpretrain") == 0
    line = f"{len(state)} tensors of pvig_micro, from the official to the mmpretrain format, 2 position tables omitted"
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'out.pth'}: {line}\n"
    with torch.device("meta"):
        foreign = vig_micro(channels=16, depth=2)
    torch.save({k: torch.zeros(t.shape) for k, t in foreign.state_dict().items()}, tmp_path / "foreign.pth")
    assert run(tmp_path / "foreign.pth", tmp_path / "out.pth") == 0
    assert "tensors of an unknown variant, from the native to the native format" in capsys.readouterr().out


def test_files_as_published(tmp_path):
    model = drawn(pvig_micro())
    (tmp_path / "in.pth.tar").write_bytes(official_file(model))
    assert run(tmp_path / "in.pth.tar", tmp_path / "out.pth") == 0
    assert same(torch.load(tmp_path / "out.pth", weights_only=True), model.state_dict())


def test_urls_and_names_of_published_weights(tmp_path, monkeypatch):
    model = drawn(vig_micro())
    content = official_file(model)
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path / "home"))
    with serving({"/a.pth": content, "/b.pth": content}) as (address, asked):
        entry = make_entry(f"{address}/b.pth", content)
        monkeypatch.setitem(weights.TABLE, entry.name, entry)
        sources = [f"{address}/a.pth", "vig_micro", "vig_micro:imagenet1k"]
        for i, source in enumerate(sources):
            assert run(source, tmp_path / f"{i}.pth") == 0
            assert same(torch.load(tmp_path / f"{i}.pth", weights_only=True), model.state_dict())
        assert asked == ["/a.pth", "/b.pth"]


def test_tied_weights_go_into_safetensors(tmp_path):
    state = vig_micro().state_dict()
    state["blocks.1.ffn.fc1.0.bias"] = state["blocks.0.ffn.fc1.0.bias"]
    torch.save(state, tmp_path / "in.pth")
    assert run(tmp_path / "in.pth", tmp_path / "out.safetensors") == 0
    assert same(weights.read_state(tmp_path / "out.safetensors"), state)


def test_files_are_not_overwritten_unless_told(tmp_path, capsys):
    source, mine = tmp_path / "in.pth", tmp_path / "mine.pth"
    torch.save(vig_micro().state_dict(), source)
    mine.write_text("precious")
    assert "mine.pth exists already" in fails(capsys, "convert", source, mine)
    assert "in.pth exists already" in fails(capsys, "convert", source, source)
    assert "is a folder" in fails(capsys, "convert", source, tmp_path, "--overwrite")
    assert "x.pth cannot be the name of a file: it is too long" in fails(capsys, "convert", source, f"{'x' * 300}.pth")
    url = f"{closed_address()}/a.pth"
    assert "mine.pth exists already" in fails(capsys, "convert", url, mine)  # told before a download
    assert mine.read_text() == "precious"
    assert run(source, source, "--format", "official", "--overwrite") == 0
    assert weights.detect_format(weights.read_state(source)) == "official"


@pytest.mark.parametrize(
    "name",
    [
        "out.onnx",
        "out.ONNX",
        "out",
        "out.npz",
        "out.h5",
        "out.pkl",
        "out.tar",
        "out.safetensors.gz",
        "out.pt2",
        "out.",
        ".pth",
        "out.pth ",
    ],
)
def test_endings_that_promise_another_format_are_refused(tmp_path, capsys, name):
    url = f"{closed_address()}/a.pth"  # told before a download
    message = fails(capsys, "convert", url, tmp_path / name)
    assert "expected .safetensors, or .pth, .pt, .bin, .pth.tar" in message
    assert ("vig_pyg.export.to_onnx" in message) == name.lower().endswith(".onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.safetensors", "A.SafeTensors", "a.pth", "a.PT", "a.b.bin", "a.pth.tar"])
def test_the_ending_says_the_format(tmp_path, name):
    model = drawn(vig_micro())
    torch.save(model.state_dict(), tmp_path / "in.pth")
    assert run(tmp_path / "in.pth", tmp_path / name) == 0
    is_zip = (tmp_path / name).read_bytes()[:2] == b"PK"
    assert is_zip == ("safetensors" not in name.lower())
    (tmp_path / name).rename(tmp_path / name.lower())  # `read_state` tells them apart by the ending
    assert same(weights.read_state(tmp_path / name.lower()), model.state_dict())


def test_convert_names_what_is_wrong_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path / "home"))
    (tmp_path / "empty.pth").touch()
    (tmp_path / "page.pth").write_text("<html>")
    (tmp_path / "text.pth").write_text("text")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    torch.save({"state_dict": Payload(tmp_path / "trace")}, tmp_path / "hostile.pth")
    wrong = {
        "nothing.pth": "There is no weight file at",
        "": "is a folder, expected a weight file",
        "empty.pth": "is empty",
        "page.pth": "is a web page",
        "text.pth": "is damaged, truncated or not a weight file",
        "other.pth": "not weights of a Vision GNN: they have no pos_embed.weight, but a",
        "hostile.pth": "exec. It is refused",
    }
    for name, message in wrong.items():
        assert message in fails(capsys, "convert", tmp_path / name, tmp_path / "out.pth")
    assert "Cannot download" in fails(capsys, "convert", f"{closed_address()}/a.pth", tmp_path / "out.pth")
    assert not (tmp_path / "out.pth").exists() and not (tmp_path / "trace").exists()
    with pytest.raises(SystemExit):
        run(tmp_path / "other.pth", tmp_path / "out.pth", "--format", "timm")


def first_forms(tmp_path):
    """Folders of models as they were written before they had a schema version, and what made them."""
    from vig_pyg.artifact import write_weights
    from vig_pyg.detection.builders import detector_config

    model = vig_micro(num_classes=2).eval()
    fields = {"family": "ViG", "depth": 4, "channels": 64, "num_classes": 2, "image_size": 32, "patch_size": 4, "k": 9}
    fields |= {"head_channels": 128}
    preprocessing = {"image_size": 32, "in_channels": 3, "mean": 0.5, "std": 0.5, "crop_pct": 1.0}
    run = {"model": "vig_micro", "options": {"num_classes": 2}, "class_names": ["a", "b"]}
    options = {"min_size": 48, "max_size": 64, "out_channels": 16}
    detector = detector_config("retinanet", "micro", {**options, "num_classes": 2}).build().eval()
    plan = {"kind": "detector", "detector": "retinanet", "variant": "micro", "options": options}
    plan |= {"class_names": ["a", "b"], "category_ids": [3, 7], "recipe": {"epochs": 1}}
    found = {}
    for name, content, made in [
        ("run", run | {"preprocessing": preprocessing}, model),
        ("saved", fields | {"class_names": ["a", "b"]}, model),
        ("detector", plan, detector),
    ]:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(content))
        (folder / "README.md").write_text("# card")
        write_weights(folder, made.state_dict())
        found[name] = (folder, made)
    return found


def test_folders_of_earlier_versions_are_read_and_converted(tmp_path, capsys):
    from vig_pyg import load

    for name, (folder, model) in first_forms(tmp_path).items():
        out = tmp_path / f"{name}-new"
        assert run(folder, out) == 0
        assert capsys.readouterr().out == f"{out}: the model of {folder}, 2 classes\n"
        assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
        content = json.loads((out / "config.json").read_text())
        assert content["schema_version"] == 1 and content["class_names"] == ["a", "b"]
        old, new = load(folder), load(out)
        assert old.classes == new.classes == ["a", "b"]
        assert same(old.model.state_dict(), new.model.state_dict()) and same(new.model.state_dict(), model.state_dict())
        assert old.model.config == new.model.config
        assert run(folder, out) == 2 and "exists already" in capsys.readouterr().err  # never overwritten
        assert run(out, tmp_path / f"{name}-again") == 0  # of today's form too
        capsys.readouterr()
        for file in ("config.json", "model.safetensors"):
            assert (tmp_path / f"{name}-again" / file).read_bytes() == (out / file).read_bytes()


def test_the_weights_of_a_folder_become_a_file(tmp_path, capsys):
    model = drawn(pvig_micro(num_classes=3))
    model.save_pretrained(tmp_path / "saved")
    assert run(tmp_path / "saved", tmp_path / "out.pth", "--format", "official") == 0
    assert weights.detect_format(weights.read_state(tmp_path / "out.pth")) == "official"
    weights.load_weights(fresh := pvig_micro(num_classes=3), tmp_path / "out.pth")
    assert same(fresh.state_dict(), model.state_dict())


def test_a_folder_that_holds_no_model_leaves_nothing(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "config.json").write_text("{}")
    (tmp_path / "in" / "model.safetensors").write_bytes(b"")
    assert run(tmp_path / "in", tmp_path / "out") == 2
    assert "config.json is not the configuration of a model" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
