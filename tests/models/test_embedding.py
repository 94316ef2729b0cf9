import pytest
import torch

from vig_pyg.config import PYRAMID_VIG_VARIANTS, VIG_VARIANTS
from vig_pyg.models.embedding import make_stem


@pytest.mark.parametrize(("config", "width"), [(VIG_VARIANTS["micro"], 64), (PYRAMID_VIG_VARIANTS["micro"], 32)])
@pytest.mark.parametrize("image_size", [32, 30])
def test_the_embedding_has_a_cell_for_each_patch_of_the_stem(config, width, image_size):
    config = config.override({"image_size": image_size, "in_channels": 2})
    stem, embedding = make_stem(config, width)
    maps = stem(torch.rand(1, 2, image_size, image_size))
    assert embedding.weight.shape == maps.shape and embedding.weight.shape[1] == width
