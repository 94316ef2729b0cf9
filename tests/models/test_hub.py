import json
import random
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch_geometric.nn import SAGEConv

from tests.common import assert_same, calibrated
from tests.mutations import mutated, mutated_text
from tests.weights.common import closed_address, same
from vig_pyg import PyramidViG, ViG, VisionGNN, fuse, pvig_micro, vig_micro
from vig_pyg.models import hub
from vig_pyg.preprocess import Preprocessing

NAMES = ["blue", "red", "größer"]
PREPROCESSING = Preprocessing(image_size=48, mean=0.4, crop_pct=0.9)
OPTIONS = {"num_classes": 3, "k": (2, 5), "conv": "gin", "image_size": 48}


@pytest.fixture
def made(make):
    model = calibrated(make(**OPTIONS), (48, 48))
    model.class_names, model.preprocessing = NAMES, PREPROCESSING
    return model


def test_a_round_trip_gives_identical_logits(made, tmp_path):
    images = torch.rand(2, 3, 48, 40)
    assert made.save_pretrained(tmp_path / "new" / "model") is None
    again = type(made).from_pretrained(tmp_path / "new" / "model", map_location=torch.get_default_device())
    assert type(again) is type(made) and again.config == made.config and not again.training
    assert (again.class_names, again.preprocessing) == (NAMES, PREPROCESSING)
    assert same(again.state_dict(), made.state_dict())
    assert_same(again(images), made(images))


def test_the_folder_has_the_usual_files(made, tmp_path):
    made.save_pretrained(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    card = json.loads((tmp_path / "config.json").read_text())
    model = card["model"]
    assert model["family"] == type(made).__name__ and model["num_classes"] == 3 and model["k"] == [2, 5]
    assert (card["schema_version"], card["task"]) == (1, "image-classification")
    assert card["class_names"] == NAMES and card["preprocessing"]["mean"] == 0.4


def test_any_family_comes_from_the_base_class(made, tmp_path):
    made.save_pretrained(tmp_path)
    assert type(VisionGNN.from_pretrained(tmp_path)) is type(made)
    other = ViG if isinstance(made, PyramidViG) else PyramidViG
    with pytest.raises(ValueError, match=rf"The model is a {type(made).__name__}, not a {other.__name__}: use"):
        other.from_pretrained(tmp_path)


def test_options_can_be_changed_on_the_way(tmp_path):
    model = calibrated(pvig_micro(num_classes=3))
    model.class_names = NAMES
    model.save_pretrained(tmp_path)
    other = PyramidViG.from_pretrained(
        tmp_path, num_classes=7, position="grid", map_location=torch.get_default_device()
    )
    assert other.class_names is None and other.config == replace(model.config, num_classes=7, position="grid")
    assert torch.equal(other.head.fc1.weight, model.head.fc1.weight)
    with pytest.raises(TypeError, match="PyramidViGConfig has no option 'num_clases'"):
        PyramidViG.from_pretrained(tmp_path, num_clases=7)


def test_a_model_without_names_has_none_again(make, tmp_path):
    make().save_pretrained(tmp_path)
    again = VisionGNN.from_pretrained(str(tmp_path))
    assert again.class_names is None and again.preprocessing is None


def test_saving_again_replaces(make, tmp_path):
    make(num_classes=3).save_pretrained(tmp_path)
    model = make(num_classes=4)
    model.save_pretrained(tmp_path)
    again = VisionGNN.from_pretrained(tmp_path, map_location=torch.get_default_device())
    assert same(again.state_dict(), model.state_dict())


def test_a_file_is_no_folder_to_save_in(make, tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError, match=r"a is a file: pass a folder\."):
        make().save_pretrained(tmp_path / "a")


def test_what_could_not_be_loaded_is_not_saved(make, tmp_path):
    with pytest.raises(ValueError, match=r"conv=.* is code, which config\.json cannot contain: save only the weights"):
        make(conv=lambda i, o: SAGEConv(i, o)).save_pretrained(tmp_path / "a")
    with pytest.raises(ValueError, match=r"The weights of this (Pyramid)?ViG do not match its configuration"):
        fuse.fuse(make().eval()).save_pretrained(tmp_path / "b")
    with pytest.raises(TypeError, match="save_pretrained got private: these options need push_to_hub=True"):
        make().save_pretrained(tmp_path / "c", private=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_is_refused(make, tmp_path, name):
    make().save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=f"{tmp_path} has no {name}: it is neither a run folder nor a folder of save_pretrained"
    ):
        VisionGNN.from_pretrained(tmp_path)


BAD_CARDS = {
    "text": "not json",
    "list": "[1]",
    "number": "3",
    "empty": "{}",
    "no family": '{"depth": 4, "channels": 64}',
    "no depth": '{"family": "ViG"}',
    "foreign": '{"family": "ViG", "depth": 4, "channels": 64, "hidden_size": 3}',
    "preprocessing": '{"family": "ViG", "depth": 4, "channels": 64, "preprocessing": {"size": 3}}',
}


@pytest.mark.parametrize("kind", BAD_CARDS)
def test_a_configuration_of_something_else_is_refused(tmp_path, kind):
    vig_micro().save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(BAD_CARDS[kind])
    with pytest.raises(ValueError, match=r"config\.json is not the configuration of a (model|classifier)"):
        VisionGNN.from_pretrained(tmp_path)


def test_weights_of_another_model_are_refused(tmp_path):
    vig_micro().save_pretrained(tmp_path / "vig")
    pvig_micro().save_pretrained(tmp_path / "pvig")
    (tmp_path / "vig" / "model.safetensors").replace(tmp_path / "pvig" / "model.safetensors")
    with pytest.raises(ValueError, match=r"do not fit this PyramidViG \(they look like vig_micro\)"):
        PyramidViG.from_pretrained(tmp_path / "pvig")


def test_an_unreachable_hub_gives_one_clear_message(tmp_path):
    """In a process of its own: huggingface_hub reads its address when it is imported."""
    code = (
        "import time\n"
        "from vig_pyg import VisionGNN\n"
        "time.sleep = lambda seconds: None\n"  # it tries again for half a minute
        "try: VisionGNN.from_pretrained('somebody/vig-micro')\n"
        "except ConnectionError as error: print(error)\n"
    )
    env = {"HF_ENDPOINT": closed_address(), "HF_HOME": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.startswith("Cannot get somebody/vig-micro from the Hugging Face hub (")
    assert "put them in a folder, and pass the folder: then it works offline." in done.stdout
    assert done.stdout.count("\n") == 1


def test_a_name_on_the_hub_is_asked_for(make, tmp_path, monkeypatch):
    import huggingface_hub

    make().save_pretrained(tmp_path)
    asked = []

    def answer(repo, name, **options):
        asked.append((repo, name, options["revision"]))
        return str(tmp_path / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", answer)
    VisionGNN.from_pretrained("somebody/vig", revision="v1")
    assert asked == [("somebody/vig", "config.json", "v1"), ("somebody/vig", "model.safetensors", "v1")]


def test_what_is_neither_a_folder_nor_a_name_is_told(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"There is no folder .*nothing/here, and this is not a valid name on the hub"
    ):
        VisionGNN.from_pretrained(tmp_path / "nothing" / "here")
    with pytest.raises(ConnectionError, match="Cannot get somebody/nothing from the Hugging Face hub"):
        VisionGNN.from_pretrained("somebody/nothing", local_files_only=True, cache_dir=tmp_path)


def test_pushing_sends_the_same_files(made, tmp_path, monkeypatch):
    import huggingface_hub.hub_mixin as mixin

    sent = {}

    class Hub:
        def __init__(self, **_):
            pass

        def create_repo(self, repo_id, **_):
            return type("Repo", (), {"repo_id": repo_id})()

        def upload_folder(self, *, repo_id, folder_path, **_):
            sent.update({path.name: path.read_bytes() for path in mixin.Path(folder_path).iterdir()}, repo=repo_id)

    monkeypatch.setattr(mixin, "HfApi", Hub)
    made.push_to_hub("somebody/vig")
    assert sorted(sent) == ["README.md", "config.json", "model.safetensors", "repo"]
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes(sent[name])
    again = VisionGNN.from_pretrained(tmp_path, map_location=torch.get_default_device())
    assert same(again.state_dict(), made.state_dict())


def test_without_the_extra_the_message_says_so():
    code = (
        "import sys, importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'huggingface_hub' else find(name, *a)\n"
        "from vig_pyg import vig_micro\n"
        "model = vig_micro()\n"
        "for call in (model.save_pretrained, model.push_to_hub, model.from_pretrained):\n"
        "    try: call('x')\n"
        "    except ImportError as error: print(error)\n"
        "assert 'huggingface_hub' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and all(" (extra hub): " in line and "pip install " in line for line in lines)


def test_the_mixin_is_the_one_of_the_hub():
    from huggingface_hub import ModelHubMixin

    assert issubclass(hub.HubMixin, ModelHubMixin) and issubclass(VisionGNN, hub.HubMixin)


def test_a_hostile_configuration_is_refused_by_name_or_makes_a_sane_model(tmp_path):
    """150 files of changed entries and of changed text."""
    model = vig_micro(num_classes=2, conv="gin")
    model.class_names, model.preprocessing = ["cat", "dog"], Preprocessing(image_size=32)
    model.save_pretrained(tmp_path)
    config, draw = tmp_path / "config.json", random.Random(0)
    good, read = json.loads(config.read_text()), 0
    for turn in range(150):
        text = mutated_text(good, draw) if turn % 2 else json.dumps(mutated(good, draw))
        config.write_text(text, errors="surrogatepass")
        try:
            found = VisionGNN.from_pretrained(tmp_path, map_location=torch.get_default_device())
        except ValueError as error:
            assert "config.json" in str(error) or "The model is a" in str(error) or "do not fit" in str(error)
            assert str(error).isprintable()
        else:
            read += found(torch.rand(1, 3, 32, 32)).isfinite().all().item()
    assert 5 < read < 75


SPOILT = {
    "cut": lambda path, load, save: path.write_bytes(path.read_bytes()[:-100]),
    "header": lambda path, load, save: path.write_bytes(path.read_bytes()[:50]),
    "empty": lambda path, load, save: path.write_bytes(b""),
    "extra key": lambda path, load, save: save(load(path) | {"more": torch.zeros(1)}, path),
    "no key": lambda path, load, save: save({k: t for k, t in load(path).items() if k != "head.fc1.bias"}, path),
    "integers": lambda path, load, save: save(load(path) | {"head.fc1.bias": torch.zeros(128).long()}, path),
    "no tensors": lambda path, load, save: save({}, path),
}


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoilt_file_of_weights_is_refused_by_every_door(make, tmp_path, spoil):
    from safetensors.torch import load_file, save_file

    from vig_pyg import load as load_run
    from vig_pyg.classification import load_classifier

    make(num_classes=3).save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors"
    SPOILT[spoil](path, load_file, save_file)
    for load in (VisionGNN.from_pretrained, load_classifier):
        with pytest.raises(ValueError, match=r"model\.safetensors|do not fit this|got an empty one"):
            load(tmp_path)
    name = "vig_micro" if make is vig_micro else "pvig_micro"
    run = {
        "model": name,
        "options": {"num_classes": 3},
        "class_names": ["a", "b", "c"],
        "preprocessing": {"image_size": 32},
    }
    (tmp_path / "config.json").write_text(json.dumps(run))
    for load in (load_run, load_classifier):
        with pytest.raises(ValueError, match=r"model\.safetensors|do not fit this|got an empty one"):
            load(tmp_path)


def test_the_folder_has_what_timm_and_transformers_read(made, tmp_path):
    made.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architecture"] == ("pvig_micro" if isinstance(made, PyramidViG) else "vig_micro")
    assert (config["num_features"], config["num_classes"]) == (made.num_features, 3)
    assert config["id2label"] == dict(zip("012", NAMES, strict=True))
    assert config["label2id"] == {name: i for i, name in enumerate(NAMES)} and config["label_names"] == NAMES
    images = config["pretrained_cfg"]
    assert (images["input_size"], images["mean"], images["crop_pct"]) == ([3, 48, 48], [0.4] * 3, 0.9)
    for part in (images["first_conv"], images["classifier"]):
        assert f"{part}.weight" in made.state_dict()
    header = (tmp_path / "model.safetensors").read_bytes()
    assert json.loads(header[8 : 8 + int.from_bytes(header[:8], "little")])["__metadata__"]["format"] == "pt"


@pytest.mark.parametrize("key", ["architecture", "model_args", "pretrained_cfg", "id2label", "num_classes"])
def test_what_others_read_is_not_read_here(made, tmp_path, key):
    made.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    for value in ({"depth": 10**9}, "somebody/else", None, [1]):
        path.write_text(json.dumps({**content, key: value}))
        assert VisionGNN.from_pretrained(tmp_path).config == made.config
    path.write_text(json.dumps({name: value for name, value in content.items() if name != key}))
    assert VisionGNN.from_pretrained(tmp_path).config == made.config


def test_the_card_has_license_code_paper_and_docs(made, tmp_path):
    made.save_pretrained(tmp_path / "a", repo_id="somebody/mine")
    card = (tmp_path / "a" / "README.md").read_text()
    assert "license: mit" in card and "library_name: vig_pyg" in card and "More Information Needed" not in card
    assert 'from_pretrained("somebody/mine")' in card
    for link in ("https://arxiv.org/abs/2206.00272", "https://github.com/huawei-noah", "https://pytorch-geometric"):
        assert link in card
    made.save_pretrained(tmp_path / "b", model_card_kwargs={"repo_id": "other/one"})
    assert 'from_pretrained("other/one")' in (tmp_path / "b" / "README.md").read_text()


def test_equal_models_give_equal_bytes(made, tmp_path):
    for name in "ab":
        made.save_pretrained(tmp_path / name)
    for file in ("config.json", "model.safetensors", "README.md"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_a_replaced_classifier_of_another_width_is_not_saved(tmp_path):
    model = vig_micro(num_classes=5)
    model.head.fc2 = torch.nn.Linear(model.head.fc2.in_features, 7)
    with pytest.raises(ValueError, match="could not be loaded again"):
        model.save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("GatedRepoError", "its authors give access on request"),
        ("RepositoryNotFoundError", "the hub has no such model, or it is private"),
        ("RevisionNotFoundError", "the model has no such revision"),
        ("LocalEntryNotFoundError", "the hub was not reached, and the model is not in its cache"),
        ("OfflineModeIsEnabled", "the hub's offline mode is on, and the model is not in its cache"),
        ("RemoteEntryNotFoundError", "the model lacks a file"),
        ("OSError", "404 Client Error. (Request ID: 1)"),
    ],
)
def test_why_a_model_is_not_found_on_the_hub_is_told_in_plain_words(monkeypatch, kind, said):
    import huggingface_hub
    from huggingface_hub import errors

    if not hasattr(errors, kind):  # that of older versions has no name of its own
        kind = kind.removeprefix("Remote")
    found = getattr(errors, kind, OSError)
    error = found.__new__(found)  # some need the answer of a server
    Exception.__init__(error, "404 Client Error. (Request ID: 1)")

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(ConnectionError) as caught:
        VisionGNN.from_pretrained("somebody/vig")
    message = str(caught.value)
    assert message.startswith(f"Cannot get somebody/vig from the Hugging Face hub ({said}")
    assert ("Request ID" in message) == (kind == "OSError")
