import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import MultiScaleRoIAlign

from vig_pyg.detection.anchors import RegionPool, StrideAnchors


def test_exact_halves_have_torchvisions_anchors():
    sizes, maps = ((16, 20), (32, 40)), [torch.zeros(2, 1, 16, 24), torch.zeros(2, 1, 8, 12)]
    images = ImageList(torch.zeros(2, 3, 64, 96), [(64, 96), (61, 93)])
    ours = StrideAnchors(sizes, (0.5, 2.0), (4, 8))(images, maps)
    theirs = AnchorGenerator(sizes, ((0.5, 2.0),) * 2)(images, maps)
    assert len(ours) == 2
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_anchors_of_padding_lie_outside_and_the_others_do_not_move():
    maps = [torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 4, 4)]
    images = ImageList(torch.zeros(2, 3, 64, 64), [(64, 64), (20, 40)])
    whole, part = StrideAnchors(((16,), (32,)), (1.0, 2.0), (8, 16))(images, maps)
    assert whole.shape == part.shape == (2 * 64 + 2 * 16, 4)
    for stride, a, b in zip((8, 16), whole.split([128, 32]), part.split([128, 32]), strict=True):
        centers = (a[:, :2] + a[:, 2:]) / 2
        inside = (centers < torch.tensor([40, 20])).all(1)
        assert torch.equal(a[inside], b[inside])
        assert (b[~inside] > 50_000).any(1).all()
        assert inside.sum() == 2 * -(-20 // stride) * -(-40 // stride)


def test_the_stride_stays_where_a_map_was_halved_with_rounding():
    images = ImageList(torch.zeros(1, 3, 96, 96), [(96, 96)])
    (anchors,) = StrideAnchors(((8,),), (1.0,), (64,))(images, [torch.zeros(1, 1, 2, 2)])
    assert anchors[:, 0].tolist() == [-4, 60, -4, 60]


def test_anchors_are_exact_under_reduced_precision():
    images = ImageList(torch.zeros(1, 3, 8, 1336), [(8, 1333)])
    (anchors,) = StrideAnchors(((8,),), (1.0,), (8,))(images, [torch.zeros(1, 1, 1, 167, dtype=torch.bfloat16)])
    assert anchors.dtype == torch.float32
    assert anchors[-1, 0] == 166 * 8 - 4


def test_regions_are_pooled_at_the_true_strides():
    maps = {str(i): torch.rand(1, 5, 64 // 2**i, 64 // 2**i) for i in range(3)}
    boxes = [torch.tensor([[3.0, 5.0, 90.0, 80.0], [100.0, 0.0, 250.0, 250.0]])]
    theirs = MultiScaleRoIAlign(["0", "1", "2"], 7, 2)(maps, boxes, [(256, 256)])
    assert torch.equal(RegionPool((4, 8, 16), 7)(maps, boxes, [(256, 256)]), theirs)
    # torchvision alone would take a height of 3 pixels for that of the map
    thin = RegionPool((4, 8, 16), 7)
    thin(maps, [torch.tensor([[0.0, 0.0, 99.0, 3.0]])], [(3, 256)])
    assert torch.equal(thin(maps, boxes, [(256, 256)]), theirs)


def test_regions_at_the_border_do_not_see_padding():
    whole = {"0": torch.rand(1, 5, 9, 11), "1": torch.rand(1, 5, 5, 6)}
    padded = {name: torch.nn.functional.pad(m, (0, 7, 0, 3)).requires_grad_() for name, m in whole.items()}
    boxes, pool = [torch.tensor([[3.0, 5.0, 44.0, 36.0], [20.0, 20.0, 44.0, 36.0]])], RegionPool((4, 8), 7)
    found = pool(padded, boxes, [(36, 44)])
    torch.testing.assert_close(found, pool(whole, boxes, [(36, 44)]))
    found.sum().backward()
    assert padded["0"].grad[..., :9, :11].sum() > 0
    assert not padded["0"].grad[..., 9:, :].any()
