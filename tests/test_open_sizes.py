"""Programs of which height, width and number of images stay open: one serves them all, and equals the model."""

import importlib.util

import pytest
import torch
import torch.nn.functional as F
from torch._dynamo.testing import CompileCounter

from tests.common import calibrated
from vig_pyg import DilatedKNN, PyramidViG, ViG
from vig_pyg.export import to_onnx
from vig_pyg.graph.dilated_knn import shrink

onnx = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
quiet = pytest.mark.filterwarnings("ignore")  # exporters warn of their own code
#: Numbers of images, heights and widths: halves that are rounded up, sizes below and above that of the position
#: embedding and equal to it, and fewer patches than k * dilation.
SIZES = [(1, 64, 64), (2, 50, 83), (3, 96, 48), (1, 128, 112), (2, 33, 17)]
CASES = {
    "vig": (ViG, {}),
    "pvig": (PyramidViG, {}),
    "pvig-grid": (PyramidViG, {"position": "grid"}),
}


def model_of(case):
    torch.manual_seed(0)
    family, options = CASES[case]
    return calibrated(family("micro", num_classes=5, image_size=64, **options), (64, 64))


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def smallest_gap(model, image):
    """The smallest difference, in float64, of two scores whose order decides which source is a neighbor.

    Without it, an image may differ: in layer 0 of a pyramid, the 9th and the 10th nearest source of one patch out of
    3584 differed by 6e-9, so that rounding chose, and one logit then differed by a tenth of the largest one.
    """
    gaps = []

    def measure(search, args, edges):
        x, layout, x_src, layout_src = args
        (m,) = layout_src.distinct_num_nodes
        one, two = (F.normalize(part.double(), dim=1) for part in (x, x_src))
        scores = one @ two.t()
        if search.position is not None:
            codes = search.position(layout, layout_src, x.size(1), torch.float64)
            scores += codes.p @ codes.q.t() if codes.table is None else codes.table
        k, step = shrink(search.k, search.dilation, m)
        kept = torch.zeros(m, dtype=torch.bool)
        kept[: k * step : step] = True
        falls = -scores.sort(dim=1, descending=True).values.diff(dim=1)
        gaps.append(falls[:, kept[1:] != kept[:-1]])

    hooks = [part.register_forward_hook(measure) for part in model.modules() if isinstance(part, DilatedKNN)]
    with torch.no_grad():
        model(image[None])
    for hook in hooks:
        hook.remove()
    return min((float(gap.min()) for gap in gaps if gap.numel()), default=torch.inf)


def image_without_ties(model, height, width):
    """An image whose neighbors do not depend on rounding: the scores have errors up to 4e-7."""
    for _ in range(200):
        image = torch.rand(3, height, width)
        if smallest_gap(model, image) > 1e-6:
            return image
    raise AssertionError("There is no image without ties.")


def assert_equal_to(model, run, sizes=SIZES):
    for count, height, width in sizes:
        images = torch.stack([image_without_ties(model, height, width) for _ in range(count)])
        with torch.no_grad():
            want = model(images)
            errors = (run(images) - want).abs().amax(1) / want.abs().max()
        assert errors.max() < 1e-5, (count, height, width, errors)


def test_a_tie_is_found_by_its_gap():
    model = model_of("vig")
    image = torch.rand(3, 32, 32)
    gap = smallest_gap(model, image)
    assert 0 < gap < 1e-2
    image[:, :, 16:] = image[:, :, :16]  # each patch is twice in the image, up to its position
    with torch.no_grad():
        model.pos_embed.weight.zero_()
    assert smallest_gap(model, image) < 1e-2 * gap


def open_sides(smallest):
    sides = {
        2: torch.export.Dim("height", min=smallest, max=1024),
        3: torch.export.Dim("width", min=smallest, max=1024),
    }
    return ({0: torch.export.Dim("batch", min=1, max=64), **sides},)


@quiet
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("strict", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_one_exported_program_serves_every_size(case, strict):
    model = model_of(case)
    program = torch.export.export(model, (torch.rand(2, 3, 80, 96),), dynamic_shapes=open_sides(17), strict=strict)
    assert_equal_to(model, program.module())
    again = model(torch.rand(2, 3, 64, 64))  # nothing of the exporter stays in a cache
    assert type(again) is torch.Tensor and again.isfinite().all()


@quiet
@onnx
@pytest.mark.parametrize(
    "case", ["pvig", *(pytest.param(case, marks=pytest.mark.slow) for case in ("vig", "pvig-grid"))]
)
def test_one_onnx_file_serves_every_size(case, tmp_path):
    import onnxruntime

    model = model_of(case).fuse()
    session = onnxruntime.InferenceSession(str(to_onnx(model, tmp_path / "model.onnx", dynamic_size=True)))
    assert [part.shape for part in session.get_inputs()] == [["batch", 3, "height", "width"]]
    assert_equal_to(model, lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0]))


@onnx
@pytest.mark.parametrize("graph", [None, "knn"])
def test_another_graph_is_not_advised_where_the_graph_is_not_the_reason(tmp_path, monkeypatch, graph):
    def fail(*_):
        raise ImportError("onnx_ir is broken\nand more")

    monkeypatch.setattr("vig_pyg.export._write", fail)
    with pytest.raises(
        ValueError, match=r"image size dynamic .*: onnx_ir is broken\. Leave dynamic_size out"
    ) as caught:
        to_onnx(ViG("micro", num_classes=5, graph=graph), tmp_path / "model.onnx", dynamic_size=True)
    assert "graph='knn'" not in str(caught.value) and isinstance(caught.value.__cause__, ImportError)


@quiet
@onnx
@pytest.mark.slow
def test_a_graph_whose_size_cannot_stay_open_is_named(tmp_path):
    model = calibrated(ViG("micro", num_classes=5, image_size=64, graph="window"))
    with pytest.raises(ValueError, match="cannot make the image size dynamic for this model, with graph 'window'"):
        to_onnx(model, tmp_path / "model.onnx", dynamic_size=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "case", ["vig", *(pytest.param(case, marks=pytest.mark.slow) for case in ("pvig", "pvig-grid"))]
)
def test_one_compiled_graph_serves_every_size_with_enough_patches(case):
    model, counter = model_of(case), CompileCounter()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend=counter)
    assert_equal_to(model, compiled, [(2, 80, 96), (3, 64, 80), (4, 112, 72), (2, 112, 128)])
    assert counter.frame_count == 1
    few = 8 if case == "vig" else 16  # k * dilation shrinks: another graph
    assert_equal_to(model, compiled, [(2, few, few + 4)])
    assert counter.frame_count <= 3


@pytest.mark.parametrize("family", [ViG, pytest.param(PyramidViG, marks=pytest.mark.slow)])
def test_lists_of_images_are_compiled(family):
    model, counter = calibrated(family("micro", num_classes=5, image_size=32)), CompileCounter()
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    lists = [[(32, 32), (48, 40)], [(40, 32), (32, 56)]]
    with torch.no_grad():
        for sizes in (*lists, *lists):
            images = [torch.rand(3, *size) for size in sizes]
            want = model(images)
            assert float((compiled(images) - want).abs().max()) < 1e-3 * float(want.std())
    assert counter.frame_count <= len(lists)
