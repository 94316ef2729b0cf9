import numpy as np
import pytest
import torch
from PIL import Image

from tests.parity import rule
from tests.test_macs import PUBLISHED
from vig_pyg import create_model, weights
from vig_pyg.preprocess import Preprocessing
from vig_pyg.weights.table import imagenet_categories

MODELS = list(rule.PUBLISHED.values())
#: Models of the later families with a file whose name is known.
FAMILY = ["greedyvig_small", "greedyvig_medium", "greedyvig_base", "mobilevig_small"]
FAMILY += ["mobilevigv2_small", "mobilevigv2_medium", "mobilevigv2_base"]


def test_all_seven_have_the_official_file_and_mmpretrains():
    family = [f"{model}:{tag}" for model in FAMILY for tag in ("imagenet1k", "imagenet1k:ema")]
    seven = [f"{model}:{tag}" for model in MODELS for tag in weights.TAGS]
    assert weights.list_weights() == [*seven, *family]
    assert weights.TAGS == ("imagenet1k", "imagenet1k:mmpretrain")
    for name in seven:
        entry = weights.get_weights(name)
        assert entry.name == name and entry.format == ("mmpretrain" if "mmpretrain" in entry.tag else "official")
        assert entry.url.startswith("https://") and entry.url.endswith(entry.file_name)
        assert len(entry.sha256) == 8 and int(entry.sha256, 16)
        assert entry.license == "Apache-2.0" and entry.top1 < entry.top5
    assert len({entry.file_name for entry in weights.TABLE.values()}) == 14 + 7  # the cache has one folder


def test_a_model_alone_is_its_official_file():
    assert weights.get_weights("pvig_base") is weights.get_weights("pvig_base:imagenet1k")
    assert weights.get_weights("pvig_base").url.endswith("releases/download/pyramid-vig/pvig_b_83.66.pth.tar")
    other = weights.get_weights("vig_tiny:imagenet1k:mmpretrain")
    assert other.file_name == "vig-tiny_3rdparty_in1k_20230117-6414c684.pth"


@pytest.mark.parametrize("name", ["vig_micro", "pvig_huge", "vig_tiny:imagenet21k", "", "vig_tiny:"])
def test_an_unknown_name_lists_the_valid_ones(name):
    with pytest.raises(ValueError, match=rf"no published weights '{name}': choose imagenet1k or .* of vig_tiny, vig"):
        weights.get_weights(name)


@pytest.mark.parametrize("model", MODELS)
def test_parameters_and_macs_are_those_that_are_measured(model):
    with torch.device("meta"):
        parameters = sum(p.numel() for p in create_model(model).parameters())
    entry = weights.get_weights(model)
    assert round(parameters / 1e6, 3) == entry.params
    assert (entry.params, entry.gmacs) == PUBLISHED[model]  # these are held against our models there


@pytest.mark.parametrize("size", [(500, 375), (375, 500), (224, 224), (248, 248), (180, 333)])
@pytest.mark.parametrize("model", MODELS)
def test_preprocessing_is_the_published_one_to_a_gray_level(model, size):
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 18, 3), dtype=np.uint8))
    picture = coarse.resize(size, Image.Resampling.BILINEAR)
    short = 235 if model == "pvig_base" else 248
    width, height = (short, short * size[1] // size[0]) if size[0] <= size[1] else (short * size[0] // size[1], short)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    want = picture.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    got = weights.get_weights(model).preprocessing(picture)
    assert got.shape == (3, 224, 224) and got.dtype == torch.float32
    levels = (got * 0.5 + 0.5) * 255
    assert (levels - torch.from_numpy(np.array(want)).permute(2, 0, 1)).abs().max() <= 1 + 1e-4


def test_preprocessing_has_the_published_numbers():
    for model in MODELS:
        entry = weights.get_weights(model)
        want = Preprocessing(image_size=224, mean=0.5, std=0.5, crop_pct=0.95 if model == "pvig_base" else 0.9)
        assert entry.preprocessing == want
        assert entry.preprocessing.resize_size == (235 if model == "pvig_base" else 248)


def test_categories_are_imagenets():
    names = weights.get_weights("vig_tiny").categories
    assert len(names) == 1000 and list(names) == list(imagenet_categories())
    assert [names[i] for i in (0, 217, 701, 999)] == ["tench", "English springer", "parachute", "toilet tissue"]


def test_the_table_for_people_has_a_line_for_each_model():
    lines = weights.as_markdown().splitlines()
    assert len(lines) == 2 + 7 and len({line.count("|") for line in lines}) == 1
    for line, model in zip(lines[2:], MODELS, strict=True):
        assert line.startswith(f"| `{model}` | ")
        assert (
            weights.get_weights(model).url in line
            and weights.get_weights(f"{model}:imagenet1k:mmpretrain").sha256 in line
        )
    assert "| 27.3 | 4.55 | 82.00 | 95.97 | 248, 224 |" in lines[2 + MODELS.index("pvig_small")]


def test_weights_have_the_manner_of_torchvision():
    tables = {name: getattr(weights, name) for name in dir(weights) if name.endswith("_Weights")}
    assert sorted(table.DEFAULT.model for table in tables.values()) == sorted(MODELS)
    for table in tables.values():
        assert table.DEFAULT is table.IMAGENET1K is weights.get_weights(table.DEFAULT.model)
        assert [entry.tag for entry in table] == list(weights.TAGS)
        for entry in table:
            meta = entry.meta
            assert entry.transforms() == entry.preprocessing and meta["categories"] == entry.categories
            assert meta["metrics"] == {"ImageNet-1K": {"acc@1": entry.top1, "acc@5": entry.top5}}
            assert meta["num_params"] == round(1e6 * entry.params) and meta["source"].startswith("https://github.com/")
    assert weights.PViG_B_Weights.DEFAULT.transforms().resize_size == 235
