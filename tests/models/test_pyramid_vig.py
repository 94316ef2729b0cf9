import pytest
import torch
from torch_geometric.data import Batch, Data

from tests.common import calibrated
from vig_pyg import PyramidViG, PyramidViGConfig
from vig_pyg.data import BatchLayout
from vig_pyg.stem import Downsample
from vig_pyg.testing import assert_block_equivariance


def test_four_stages_each_half_the_grid():
    model = PyramidViG("micro").eval()
    maps = model.forward_intermediates(torch.rand(1, 3, 32, 48))
    assert [tuple(m.shape) for m in maps] == [(1, 32, 16, 24), (1, 48, 8, 12), (1, 64, 4, 6), (1, 96, 2, 3)]
    assert [info["reduction"] for info in model.feature_info] == [2, 4, 8, 16]
    assert [info["module"] for info in model.feature_info] == [f"stages.{i}" for i in range(4)]


def test_all_stages_but_the_first_open_with_a_downsample():
    model = PyramidViG("micro")
    assert [isinstance(stage.downsample, Downsample) for stage in model.stages] == [False, True, True, True]


def test_blocks_get_the_numbers_of_the_configuration():
    config = PyramidViGConfig(depths=(1, 2, 3), channels=(16, 32, 64), reduce_ratios=(3, 2, 1), k=2)
    model = PyramidViG(config)
    assert [grapher.reduce_ratio for grapher in model.graphers()] == [3, 2, 2, 1, 1, 1]
    assert [(grapher.k, grapher.dilation) for grapher in model.graphers()] == config.neighbors()
    assert [len(stage.blocks) for stage in model.stages] == [1, 2, 3]


@pytest.mark.parametrize("size", [(32, 32), (64, 64), (33, 47), (80, 20)])
def test_any_size(size):
    assert PyramidViG("micro", num_classes=5).eval()(torch.rand(2, 3, *size)).isfinite().all()


@pytest.mark.parametrize("conv", ["mr", "edge", "gin", "sage"])
@pytest.mark.parametrize("position", ["official", "grid", None])
def test_numbering_of_the_patches_means_nothing_in_blocks_without_pooling(conv, position):
    model = calibrated(PyramidViG("micro", conv=conv, position=position).double())
    blocks = [block for stage in model.stages for block in stage.blocks if block.grapher.reduce_ratio == 1]
    assert len(blocks) == 3
    layout = BatchLayout.from_sizes([(4, 4), (3, 5)])
    for block in blocks:
        x = torch.randn(layout.num_nodes, block.grapher.fc1[0].in_features, dtype=torch.float64)
        assert assert_block_equivariance(block, x, layout) < 1e-12


@pytest.mark.parametrize(("ratios", "same"), [((1, 1, 1, 1), True), ((4, 2, 1, 1), False)])
def test_grid_and_official_positions_differ_only_where_sources_are_pooled(ratios, same):
    images, logits = torch.rand(2, 3, 32, 32, dtype=torch.float64), []
    for position in ("grid", "official"):
        torch.manual_seed(0)
        model = PyramidViG("micro", position=position, reduce_ratios=ratios, num_classes=5).double()
        logits.append(model.eval()(images))
    assert torch.equal(*logits) == same


def test_a_free_set_of_points_is_refused():
    patches = Batch.from_data_list([Data(x=torch.rand(9, 32), pos=torch.rand(9, 2))])
    with pytest.raises(ValueError, match=r"need nodes on a grid.*use an isotropic ViG"):
        PyramidViG("micro").eval().forward_features(patches)
