import pytest
import torch
import torch.nn.functional as F

from tests.common import empty
from tests.parity import rule
from tests.weights.common import FORMATS, closed_address, copied, drawn, make_entry, official_file, same
from vig_pyg import create_model, list_models, pvig_micro, vig_micro, weights


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", rule.PUBLISHED.values())
def test_round_trips_of_published_models_are_bit_identical(name, format):
    model = drawn(empty(create_model, name))
    fresh = empty(create_model, name)
    weights.load_weights(fresh, weights.convert(model, format))
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("conv", ["mr", "edge", "gin", "sage"])
def test_round_trips_of_every_operator(make, conv, format):
    model, fresh = drawn(make(conv=conv)), make(conv=conv)
    weights.load_weights(fresh, weights.convert(model, format))
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("wrapper", [*weights.WRAPPERS, None])
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_wrappers_and_prefix_come_off(make, format, wrapper, prefix):
    model, fresh = drawn(make()), make()
    state = {prefix + key: tensor for key, tensor in weights.convert(model, format).items()}
    weights.load_weights(fresh, {wrapper: state, "epoch": 3} if wrapper else state)
    assert same(fresh.state_dict(), model.state_dict())


def test_computed_tables_are_left_out():
    model, fresh = drawn(pvig_micro()), pvig_micro()
    state = weights.convert(model, "official") | {"backbone.0.0.relative_pos": torch.zeros(1, 256, 16)}
    weights.load_weights(fresh, state)
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("suffix", [".pth", ".pth.tar", ".safetensors"])
@pytest.mark.parametrize("format", FORMATS)
def test_files(make, tmp_path, suffix, format):
    model, fresh, path = drawn(make()), make(), tmp_path / f"weights{suffix}"
    state = {key: tensor.contiguous() for key, tensor in weights.convert(model, format).items()}
    if suffix == ".safetensors":
        pytest.importorskip("safetensors.torch").save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 3}, path)
    weights.load_weights(fresh, path if format == "native" else str(path))
    assert same(fresh.state_dict(), model.state_dict())


def spoilt(model, **changes):
    """Our state dict with some entries changed; `None` takes one out."""
    state = copied(drawn(type(model)("micro"))) | changes
    return {key: tensor for key, tensor in state.items() if tensor is not None}


WRONG = {
    "missing": ({"head.fc1.bias": None}, "missing: head.fc1.bias"),
    "unexpected": ({"head.fc3.bias": torch.zeros(2)}, "unexpected: head.fc3.bias"),
    "shape": ({"head.fc2.bias": torch.zeros(10)}, r"head.fc2.bias has shape \(10,\), expected \(1000,\)"),
    "no tensor": ({"head.fc2.bias": 3.0}, "Expected a state dict of tensors, got other values at head.fc2.bias"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_state_dict_that_does_not_fit_is_refused_and_changes_nothing(make, case):
    model, (changes, message) = make(), WRONG[case]
    before = copied(model)
    with pytest.raises(ValueError, match=message):
        weights.load_weights(model, spoilt(model, **changes))
    assert same(model.state_dict(), before)


def test_all_faults_are_told_at_once():
    state = spoilt(vig_micro(), **{"head.fc1.bias": None, "extra": torch.zeros(1), "head.fc2.bias": torch.zeros(10)})
    with pytest.raises(ValueError, match=r"do not fit this ViG.*has shape.*missing: .*unexpected: extra"):
        weights.load_weights(vig_micro(), state)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("mine", "other"),
    [(mine, other) for mine in ("vig_micro", "pvig_micro", "vig_tiny") for other in list_models() if mine != other],
)
def test_weights_of_another_variant_are_named(mine, other, format):
    if format == "mmpretrain" and not other.startswith(("vig", "pvig", "wignet")):
        pytest.skip("mmpretrain has no format for this family")
    model = create_model(mine)
    before = copied(model)
    with torch.device("meta"):
        foreign = create_model(other)
    with pytest.raises(ValueError, match=rf"do not fit this {type(model).__name__} \(they look like {other}\)"):
        weights.load_weights(model, weights.convert(foreign, format))
    assert same(model.state_dict(), before)


def test_other_operators_weights_are_refused(make):
    with pytest.raises(ValueError, match=r"has shape|unexpected|missing"):
        weights.load_weights(make(conv="mr"), weights.convert(make(conv="gin"), "official"))


def test_precision_of_the_model_stays(make):
    model = make().double()
    weights.load_weights(model, make().state_dict())
    assert {p.dtype for p in model.parameters()} == {torch.float64}


@pytest.mark.parametrize("format", FORMATS)
def test_the_position_embedding_of_another_grid_is_resized(make, format, caplog):
    model, other = drawn(make(image_size=32)), make(image_size=48)
    report = weights.load_weights(other, weights.convert(model, format))
    (note,) = report.notes
    old, new = (m.pos_embed.weight.shape[2:] for m in (model, other))
    assert note == f"The position embedding was resized from {old[0]} x {old[1]} to {new[0]} x {new[1]} patches."
    assert note in caplog.text and note in str(report) and report.left_out == ()
    want = F.interpolate(model.pos_embed.weight, size=new, mode="bicubic")
    assert torch.equal(other.pos_embed.weight, want)
    rest = [{key: t for key, t in copied(m).items() if key != "pos_embed.weight"} for m in (model, other)]
    assert same(*rest)


@pytest.mark.parametrize("format", FORMATS)
def test_another_number_of_classes_keeps_the_rest_and_says_so(make, format, caplog):
    model, other = drawn(make(num_classes=7)), make(num_classes=3)
    before = copied(other)
    report = weights.load_weights(other, weights.convert(model, format))
    assert report.left_out == ("head.fc2.weight", "head.fc2.bias") and report.format == format
    said = "The file has 7 classes, the model 3: the classifier's last layer (head.fc2) was not loaded and keeps its"
    assert report.notes[0].startswith(said)
    assert report.notes[0] in caplog.text
    want = copied(model) | {key: before[key] for key in report.left_out}
    assert same(copied(other), want)


def test_weights_without_classifier_and_models_without(make, caplog):
    model, headless = drawn(make()), make(num_classes=0)
    report = weights.load_weights(headless, model.state_dict())
    assert report.notes == ("The model has no classifier: that of the file was not loaded.",)
    assert same(copied(headless), {key: t for key, t in copied(model).items() if not key.startswith("head.")})
    other = make()
    before = copied(other)
    report = weights.load_weights(other, weights.convert(headless, "official"))
    assert report.notes[0].startswith("The file has no classifier: the model keeps its own")
    assert all(key.startswith("head.") for key in report.left_out) and len(report.left_out) == 9
    assert same(copied(other), copied(headless) | {key: before[key] for key in report.left_out})
    assert weights.load_weights(headless, copied(headless)).notes == ()
    assert caplog.text.count("classifier") == 2


def test_another_position_mode_is_told(caplog):
    state = dict(pvig_micro().state_dict())  # a plain dict: it says nothing
    official = weights.convert(state, "official")
    assert "position='official', but this model has 'grid'" in str(
        weights.load_weights(pvig_micro(position="grid"), official)
    )
    assert weights.load_weights(pvig_micro(), official).notes == ()
    assert weights.load_weights(pvig_micro(position="grid"), state).notes == ()  # ours: any mode may have trained them


@pytest.fixture
def published(home, monkeypatch):
    """Published weights of `vig_micro` that are in the cache."""
    model = drawn(vig_micro())
    content = official_file(model)
    entry = make_entry(f"{closed_address()}/vig.pth.tar", content)
    monkeypatch.setitem(weights.TABLE, entry.name, entry)
    (home / "checkpoints").mkdir()
    (home / "checkpoints" / "vig.pth.tar").write_bytes(content)
    return model


def test_published_weights_bring_preprocessing_and_classes(published):
    model = vig_micro(weights="imagenet1k")
    assert same(model.state_dict(), published.state_dict())
    assert model.class_names[0] == "tench" and model.preprocessing == weights.get_weights("vig_micro").preprocessing
    other = vig_micro(weights="imagenet1k", num_classes=3, image_size=64)
    assert other.class_names is None and other.preprocessing.image_size == 64
    assert other.preprocessing.resize_size == 71  # 64 / 0.9
    assert torch.equal(other.blocks[0].ffn.fc1[0].weight, published.blocks[0].ffn.fc1[0].weight)


@pytest.mark.parametrize("source", ["vig_micro", "vig_micro:imagenet1k"])
def test_names_of_published_weights_are_sources(published, source, tmp_path, monkeypatch):
    fresh = vig_micro()
    assert weights.load_weights(fresh, source).source == "vig_micro:imagenet1k"
    assert same(fresh.state_dict(), published.state_dict())
    monkeypatch.chdir(tmp_path)
    torch.save(drawn(vig_micro()).state_dict(), source)  # a file of that name comes first
    assert weights.load_weights(fresh, source).source == source
    assert not same(fresh.state_dict(), published.state_dict())


def test_published_weights_of_another_variant_are_refused(published):
    with pytest.raises(ValueError, match="no published weights 'pvig_micro:imagenet1k'"):
        pvig_micro(weights="imagenet1k")
    with pytest.raises(ValueError, match="vig_micro:imagenet1k are weights of vig_micro, but this model is pvig_micro"):
        pvig_micro(weights=weights.get_weights("vig_micro"))
    with pytest.raises(ValueError, match="'a ViG of other widths or depths:imagenet1k'"):
        vig_micro(depth=3, weights="imagenet1k")


def test_what_is_no_source_is_told():
    with pytest.raises(TypeError, match=r"a state dict, or published weights, got ViG: pass its state_dict\(\)"):
        weights.load_weights(vig_micro(), vig_micro())
    with pytest.raises(TypeError, match=r"got NoneType\.$"):
        weights.load_weights(vig_micro(), None)


OPTIONS = {
    "conv": "edge",
    "k": 5,
    "graph": "axial",
    "dilation": False,
    "position": "grid",
    "reduce_ratios": (2, 2, 1, 1),
}


@pytest.mark.parametrize("option", OPTIONS)
def test_options_that_no_shape_tells_are_refused_or_noted(option):
    base = {"depths": (1, 1, 5, 1), "image_size": 64, "k": 4}
    model, other = pvig_micro(**base), pvig_micro(**base | {option: OPTIONS[option]})
    before = copied(other)
    want = rf"other options: {option}=.* in the weights, .* here"
    for source in (model.state_dict(), weights.convert(model, "mmpretrain")):
        with pytest.raises(ValueError, match=want):
            weights.load_weights(other, source)
        with pytest.raises(ValueError, match=want):
            weights.load_weights(other, source, overridden=["heads", "num_classes"])
        assert same(copied(other), before)
    for how in ({"on_mismatch": "note"}, {"overridden": [option]}):
        report = weights.load_weights(other, model.state_dict(), **how)
        assert len(report.notes) == 1 and f"The weights were trained with {option}=" in report.notes[0]
    assert same(copied(other), copied(model))
    quiet = weights.load_weights(other, dict(model.state_dict()))
    assert quiet.notes == () and {"conv", "graph", "reduce_ratios"} <= set(quiet.not_compared)


def test_an_unknown_way_is_refused():
    with pytest.raises(ValueError, match="on_mismatch must be 'error' or 'note', got 'warn'"):
        weights.load_weights(vig_micro(), vig_micro().state_dict(), on_mismatch="warn")


def test_what_the_weights_do_not_say_is_told_quietly(caplog):
    report = weights.load_weights(vig_micro(conv="edge"), dict(vig_micro().state_dict()))
    assert report.notes == () and report.not_compared == ("conv", "graph", "k", "dilation")
    assert "the weights do not record were not compared: conv, graph, k, dilation" in str(report) and not caplog.text
    with caplog.at_level("INFO"):
        weights.load_weights(vig_micro(), dict(vig_micro().state_dict()))
    assert "the weights do not record were not compared: conv" in caplog.text


def test_published_weights_say_their_options(published, caplog):
    for options in ({"conv": "edge"}, {"k": 3}, {"graph": "grid"}):
        (name,) = options
        for source in ("vig_micro", weights.get_weights("vig_micro"), weights.get_weights("vig_micro").url):
            with pytest.raises(ValueError, match=rf"other options: {name}="):
                weights.load_weights(vig_micro(**options), source)
        caplog.clear()
        assert vig_micro(weights="imagenet1k", **options).config.override({}) == vig_micro(**options).config
        assert f"The weights were trained with {name}=" in caplog.text
    caplog.clear()
    config = vig_micro(k=3).config
    assert create_model(config, weights="imagenet1k").config == config and "trained with k=9" in caplog.text
    report = weights.load_weights(vig_micro(), "vig_micro")
    assert report.notes == report.not_compared == ()


def test_two_sets_of_weights_in_a_file_are_told(caplog):
    one, two, model = drawn(vig_micro()), drawn(vig_micro()), vig_micro()
    report = weights.load_weights(model, {"state_dict_ema": two.state_dict(), "state_dict": one.state_dict()})
    assert report.notes == (
        "The file contains 'state_dict' and 'state_dict_ema': 'state_dict' was used. Pass "
        "torch.load(path)['state_dict_ema'] for another one.",
    )
    assert same(copied(model), copied(one)) and "'state_dict' was used" in caplog.text
    beside = {"state_dict": one.state_dict(), "epoch": torch.tensor(3), "stem.0.weight": torch.zeros(1)}
    refused = r"both in 'state_dict' and next to it \(stem\.0\.weight\): keep only one of the two"
    with pytest.raises(ValueError, match=refused):
        weights.load_weights(model, beside)
    assert same(copied(model), copied(one))


def test_a_dict_in_itself_is_refused():
    state = {}
    state["model"] = state
    with pytest.raises(ValueError, match="in more than 8 wrappers"):
        weights.load_weights(vig_micro(), state)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_published_weights_are_adapted_to_other_channels_where_asked(published, caplog, channels):
    color = vig_micro(weights="imagenet1k").stem[0].weight
    model = vig_micro(weights="imagenet1k", in_channels=channels)
    assert f"adapted from 3 to {channels} input channels" in caplog.text
    first = color.sum(1) if channels == 1 else color[:, 0] * 3 / channels
    torch.testing.assert_close(model.stem[0].weight[:, 0], first)
    assert model.preprocessing.in_channels == channels
    with pytest.raises(ValueError, match=r"stem\.0\.weight has shape"):
        weights.load_weights(vig_micro(in_channels=channels), "vig_micro")


@pytest.mark.parametrize("name", sorted({entry.model for entry in weights.TABLE.values()}))
def test_a_misspelled_name_has_a_suggestion_and_a_file_has_none(name):
    for wrong in (name[:-1], name + "e", name.replace("_", ""), name[:2] + name[3:]):
        if wrong not in {entry.model for entry in weights.TABLE.values()}:
            with pytest.raises(FileNotFoundError, match=rf"no weight file at {wrong}\. Did you mean the published .*'"):
                weights.check_exists(wrong)
    for path in ("my/best.pth", "/nowhere/weights.safetensors", "weights.bin"):
        with pytest.raises(FileNotFoundError, match=r"no weight file at \S+\.$"):
            weights.check_exists(path)
