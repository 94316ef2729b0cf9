import pytest
import torch
from torch_geometric.data import Batch, Data

from tests.common import calibrated
from vig_pyg import ViG, ViGConfig
from vig_pyg.data import to_batch, to_nodes
from vig_pyg.testing import assert_block_equivariance


def test_one_width_and_one_grid_through_all_blocks():
    model = ViG("micro").eval()
    maps = model.forward_intermediates(torch.rand(1, 3, 32, 48))
    assert [tuple(m.shape) for m in maps] == [(1, 64, 8, 12)] * 4
    assert [info["module"] for info in model.feature_info] == [f"blocks.{i}" for i in range(4)]


def test_blocks_get_the_numbers_of_the_configuration():
    config = ViGConfig(depth=6, channels=16, k=(2, 7), drop_path_rate=0.5, image_size=32, patch_size=4)
    model = ViG(config)
    assert [(grapher.k, grapher.dilation) for grapher in model.graphers()] == config.neighbors()
    assert [(grapher.graph.k, grapher.graph.dilation) for grapher in model.graphers()] == config.neighbors()
    rates = [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [block.grapher.drop_path.p for block in model.blocks] == pytest.approx(rates)
    assert [block.ffn.drop_path.p for block in model.blocks] == pytest.approx(rates)


@pytest.mark.parametrize("conv", ["mr", "edge", "gin", "sage"])
def test_numbering_of_the_patches_means_nothing(conv):
    model = calibrated(ViG("micro", conv=conv, num_classes=5).double())

    def blocks(x, layout):
        return model.forward_features(to_batch(x, layout)).x

    x, layout = to_nodes([torch.randn(64, *size, dtype=torch.float64) for size in [(4, 4), (5, 6)]])
    assert assert_block_equivariance(blocks, x, layout) < 1e-12


def test_masked_patches_go_through_as_a_free_set_of_points():
    model = calibrated(ViG("micro", num_classes=5))
    patches = []
    for part in model.embed(torch.rand(3, 3, 32, 32)).to_data_list():
        seen = torch.rand(len(part.x)) < 0.5
        patches.append(Data(x=part.x[seen], pos=part.pos[seen]))
    logits = model.forward_head(model.forward_features(Batch.from_data_list(patches)))
    alone = [model.forward_head(model.forward_features(Batch.from_data_list([part]))) for part in patches]
    torch.testing.assert_close(logits, torch.cat(alone), rtol=0, atol=1e-5)
