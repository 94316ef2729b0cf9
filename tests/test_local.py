import pytest
import torch
import torch.nn.functional as F

from tests.graph.brute import free
from vig_pyg.data import BatchLayout, to_maps
from vig_pyg.local import ConditionalPosition, InvertedResidual, on_maps

SIZES = [[(4, 6), (4, 6)], [(4, 4), (3, 5), (6, 6)], [(1, 1), (1, 7)]]


def nodes(sizes, channels=8):
    layout = BatchLayout.from_sizes(sizes)
    return torch.randn(layout.num_nodes, channels, dtype=torch.float64), layout


def by_image(function, x, layout):
    """A function of maps `(1, C, H, W)` on each image alone."""
    maps = to_maps(x, layout)
    parts = [function(one[None])[0] for one in maps]
    return torch.cat([part.flatten(1).t() for part in parts])


@pytest.mark.parametrize("sizes", SIZES)
def test_a_function_of_maps_acts_on_each_image(sizes):
    x, layout = nodes(sizes)
    kernel = torch.randn(5, 8, 3, 3, dtype=torch.float64)
    got = on_maps(lambda maps: F.conv2d(maps, kernel, padding=1), x, layout)
    torch.testing.assert_close(got, by_image(lambda one: F.conv2d(one, kernel, padding=1), x, layout))


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("kernel_size", [1, 3, 7])
def test_a_position_encoding_is_its_equation_and_stays_so_when_it_is_folded(sizes, kernel_size):
    layer, (x, layout) = ConditionalPosition(8, kernel_size).double(), nodes(sizes)
    torch.nn.init.normal_(layer.conv.bias)
    conv = layer.conv
    weight = conv.weight.detach().clone()

    def equation(one):
        return one + F.conv2d(one, weight, conv.bias, padding=kernel_size // 2, groups=8)

    want = by_image(equation, x, layout)
    torch.testing.assert_close(layer(x, layout), want)
    for _ in range(2):  # the second time changes nothing
        layer.fold()
        torch.testing.assert_close(layer(x, layout), want)


@pytest.mark.parametrize("kernel_size", [0, 2, -3])
def test_a_window_has_a_center(kernel_size):
    with pytest.raises(ValueError, match=f"must be odd and positive, got {kernel_size}"):
        ConditionalPosition(8, kernel_size)


@pytest.mark.parametrize("layer_scale", [None, 0.5])
@pytest.mark.parametrize("sizes", SIZES)
def test_an_inverted_residual_is_its_equation(sizes, layer_scale):
    block, (x, layout) = InvertedResidual(8, 32, layer_scale=layer_scale).double().eval(), nodes(sizes)
    for name, value in block.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand_like(value) + 0.5 if name.endswith("var") else torch.randn_like(value))

    def norm(one, layer):
        return F.batch_norm(one, layer.running_mean, layer.running_var, layer.weight, layer.bias)

    def equation(one):
        hidden = F.gelu(norm(F.conv2d(one, block.fc1[0].weight[..., None, None], block.fc1[0].bias), block.fc1[1]))
        conv = block.conv[0]
        hidden = F.gelu(norm(F.conv2d(hidden, conv.weight, conv.bias, padding=1, groups=32), block.conv[1]))
        out = norm(F.conv2d(hidden, block.fc2[0].weight[..., None, None], block.fc2[0].bias), block.fc2[1])
        return one + (1 if layer_scale is None else block.scale.gamma.view(-1, 1, 1)) * out

    with torch.no_grad():
        torch.testing.assert_close(block(x, layout), by_image(equation, x, layout))


def test_every_parameter_gets_a_gradient():
    x, layout = nodes([(4, 4), (4, 4)])
    block = InvertedResidual(8, 32).double()
    block(x, layout).square().sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


def test_drop_path_drops_the_branch_of_whole_images():
    x, layout = nodes([(4, 4)] * 64)
    block = InvertedResidual(8, 16, drop_path=0.5, layer_scale=1.0).double()
    same = (block(x, layout) == x).view(64, -1)
    assert 0 < same.all(1).sum() < 64 and (same.all(1) | ~same.any(1)).all()


def test_points_without_a_grid_have_no_maps():
    x, layout, _, _ = free()
    for layer in (ConditionalPosition(8), InvertedResidual(8, 16)):
        with pytest.raises(ValueError, match="need nodes on a grid"):
            layer(x, layout)
