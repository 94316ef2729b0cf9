"""Programs of which height, width and number of images stay open: one serves them all, and equals the model."""

import importlib.util

import pytest
import torch
from torch._dynamo.testing import CompileCounter

from tests.common import calibrated
from vig_pyg import PyramidViG, ViG
from vig_pyg.export import to_onnx

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


def assert_equal_to(model, run, sizes=SIZES):
    """Most images exactly so: where two sources are equally near, rounding decides, and an image may differ."""
    errors = []
    with torch.no_grad():
        for count, height, width in sizes:
            images = torch.rand(count, 3, height, width)
            want = model(images)
            errors.append((run(images) - want).abs().amax(1) / want.abs().max())
    errors = torch.cat(errors)
    assert errors.median() < 1e-5 and (errors < 1e-4).float().mean() > 0.7, errors


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
