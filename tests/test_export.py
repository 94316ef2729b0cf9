import importlib.util
import json
from dataclasses import asdict
from functools import cache

import pytest
import torch
from torch._dynamo.testing import CompileCounter, CompileCounterWithBackend

from tests.common import calibrated
from tests.test_open_sizes import image_without_ties
from vig_pyg import DilatedKNN, GreedyViG, PyramidViG, ViG, export
from vig_pyg.conv import list_convs
from vig_pyg.export import to_onnx
from vig_pyg.graph import list_graphs
from vig_pyg.ops import _knn
from vig_pyg.preprocess import Preprocessing

FAMILIES = [ViG, PyramidViG]
#: A small model with one graph block in each stage.
ONE_EACH = {
    "channels": (16, 16, 24, 32),
    "local_depths": (0, 0, 0, 0),
    "graph_depths": (1, 1, 1, 1),
    "head_channels": 16,
    "num_classes": 5,
    "image_size": 64,
    "graph_scale": 1.0,
}
onnx = pytest.mark.skipif(importlib.util.find_spec("onnxruntime") is None, reason="onnxruntime is not installed")
quiet = pytest.mark.filterwarnings("ignore")  # exporters warn of their own code
#: Families, and whether the model is fused. By day each family and each form once; compilers take seconds.
each_form = pytest.mark.parametrize(
    ("family", "fused"),
    [
        (ViG, False),
        (PyramidViG, True),
        pytest.param(ViG, True, marks=pytest.mark.slow),
        pytest.param(PyramidViG, False, marks=pytest.mark.slow),
    ],
)


def micro(family, **options):
    return calibrated(family("micro", num_classes=5, image_size=64, **options))


def spread(got, want):
    return float((got - want).abs().max() / want.std())


def without_ties(model, count):
    """Images whose neighbors do not depend on rounding, because a compiler and oneDNN round differently."""
    return torch.stack([image_without_ties(model, 64, 64) for _ in range(count)])


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@each_form
def test_one_graph_serves_all_batches_of_a_shape(family, fused):
    model = micro(family)
    model = model.fuse() if fused else model
    counter, batches = CompileCounter(), [without_ties(model, 2) for _ in range(3)]
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    with torch.no_grad():
        for images in batches:
            assert spread(compiled(images), model(images)) < 1e-4
    assert counter.frame_count == 1


@pytest.mark.parametrize("family", [PyramidViG, pytest.param(ViG, marks=pytest.mark.slow)])
def test_one_graph_serves_all_training_steps(family):
    model = micro(family).train()
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(model, fullgraph=True, backend=counter)
    for _ in range(3):
        compiled(torch.rand(4, 3, 64, 64)).square().mean().backward()
    assert counter.frame_count == 1
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("family", [ViG, pytest.param(PyramidViG, marks=pytest.mark.slow)])
def test_compiled_gradients_are_those_of_the_model(family):
    model, images = micro(family).double(), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    model(images).square().mean().backward()
    want = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    torch.compile(model, fullgraph=True, backend="aot_eager")(images).square().mean().backward()
    for parameter, grad in zip(model.parameters(), want, strict=True):
        torch.testing.assert_close(parameter.grad, grad)


@pytest.mark.slow
@quiet
@pytest.mark.parametrize("family", FAMILIES)
def test_inductor_gives_the_same_logits(family):
    model, images = micro(family), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert spread(torch.compile(model, fullgraph=True)(images), model(images)) < 1e-3


@quiet
@each_form
def test_exported_programs_take_any_number_of_images(family, fused):
    model = micro(family)
    model = model.fuse() if fused else model
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    batches = [without_ties(model, count) for count in (1, 2, 7)]
    program = torch.export.export(model, (torch.rand(2, 3, 64, 64),), dynamic_shapes=(batch,)).module()
    with torch.no_grad():
        for images in batches:
            assert spread(program(images), model(images)) < 1e-4
    again = model(torch.rand(2, 3, 64, 64))  # nothing of the exporter stays in a cache
    assert type(again) is torch.Tensor and again.isfinite().all()


@quiet
@onnx
@pytest.mark.parametrize(
    ("family", "conv"),
    [
        (ViG, "mr"),
        *(
            pytest.param(f, c, marks=pytest.mark.slow)
            for f, c in ((PyramidViG, "mr"), (ViG, "gin"), (PyramidViG, "gin"))
        ),
    ],
)
def test_onnx_files_give_the_logits_of_the_model(family, conv, tmp_path):
    import onnxruntime

    model = micro(family, conv=conv)
    model.class_names, model.preprocessing = list("abcde"), Preprocessing(image_size=64)
    model = model.fuse()
    session = onnxruntime.InferenceSession(str(to_onnx(model, tmp_path / "model.onnx")))
    assert [i.shape for i in session.get_inputs()] == [["batch", 3, 64, 64]]
    assert list(tmp_path.iterdir()) == [tmp_path / "model.onnx"]
    known = session.get_modelmeta().custom_metadata_map  # what the receiver of a file needs
    assert json.loads(known["class_names"]) == model.class_names
    assert json.loads(known["preprocessing"]) == json.loads(json.dumps(asdict(model.preprocessing)))
    errors = []
    with torch.no_grad():
        for images in torch.rand(12, 3, 64, 64).split([1, 3, 8]):
            (got,) = session.run(["logits"], {"images": images.numpy()})
            want = model(images)
            errors.append((torch.from_numpy(got) - want).abs().amax(1) / want.std())
    # the median over images: where two sources are equally near, rounding decides, and an image may differ
    assert torch.cat(errors).median() < 1e-4


def in_fours(names):
    """The names in tuples of four, filled up with the first ones: the graphs of the stages of a few models."""
    return [tuple((names + names)[i : i + 4]) for i in range(0, len(names), 4)]


DRAWN = ("random",)
EVERY = [name for name in list_graphs() if name not in DRAWN]


@quiet
@pytest.mark.parametrize("graphs", in_fours(EVERY))
def test_every_graph_is_exported_with_the_edges_of_eager(graphs, tmp_path):
    """One file holds four graphs, one for each stage; the batch size is open."""
    model = GreedyViG("small", **ONE_EACH, graph=graphs).eval()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(model, (torch.rand(2, 3, 64, 64),), dynamic_shapes=(batch,)).module()
    with torch.no_grad():
        for count in (1, 3):
            images = torch.rand(count, 3, 64, 64)
            assert spread(program(images), model(images)) < 1e-4
    if importlib.util.find_spec("onnxruntime") is not None:
        to_onnx(model, tmp_path / "model.onnx")  # compares the logits of nine images


@quiet
@pytest.mark.parametrize("conv", list_convs())
def test_a_graph_whose_number_of_edges_depends_on_the_image_is_exported_with_every_operator(conv):
    options = {**ONE_EACH, "graph_depths": (0, 1, 0, 0)}
    model = GreedyViG("small", **options, conv=conv, graph="axial_threshold").eval()
    batch = {0: torch.export.Dim("batch", min=1, max=64)}
    program = torch.export.export(model, (torch.rand(2, 3, 64, 64),), dynamic_shapes=(batch,)).module()
    with torch.no_grad():
        for images in (torch.rand(3, 3, 64, 64), torch.zeros(1, 3, 64, 64)):  # black: no neighbor but the patch itself
            torch.testing.assert_close(program(images), model(images), atol=1e-4, rtol=1e-4)


@quiet
@onnx
def test_another_size_and_training_mode(tmp_path):
    model = micro(PyramidViG).train()
    to_onnx(model, tmp_path / "model.onnx", image_size=(64, 96))
    assert model.training
    file = importlib.import_module("onnx").load(tmp_path / "model.onnx")
    assert not {entry.key for entry in file.metadata_props} & {"class_names", "preprocessing"}  # it has none


@quiet
@onnx
@pytest.mark.parametrize("image", [pytest.param(i, marks=[pytest.mark.slow] * (i not in (0, 4, 8))) for i in range(9)])
def test_every_image_is_compared(tmp_path, monkeypatch, image):
    """A file that is wrong for one image of the nine, by little."""
    import onnxruntime

    run = onnxruntime.InferenceSession.run

    def wrong(session, names, feeds):
        logits, *rest = run(session, names, feeds)
        mine = (feeds["images"] == images[image].numpy()).all((1, 2, 3))
        logits[mine] += 0.01 * logits.std()
        return [logits, *rest]

    images = export._images(9, 3, 64, 64)
    monkeypatch.setattr(onnxruntime.InferenceSession, "run", wrong)
    monkeypatch.setattr(export, "_write", lambda model, images, path: path.write_bytes(written(tmp_path)))
    with pytest.raises(ValueError, match="logits of the ONNX file differ from the model's"):
        to_onnx(model_of_the_file(), tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@cache
def model_of_the_file():
    torch.manual_seed(0)
    return micro(PyramidViG, graph="knn")


WRITTEN = []


def written(folder):
    """The ONNX file of that model; written once for all tests."""
    if not WRITTEN:
        export_once(model_of_the_file().eval(), export._images(9, 3, 64, 64), folder / "once.onnx")
        WRITTEN.append((folder / "once.onnx").read_bytes())
    return WRITTEN[0]


export_once = export._write


@quiet
@onnx
@pytest.mark.parametrize("layer", range(5))
def test_every_search_is_compared(tmp_path, monkeypatch, layer):
    """A file whose search takes one other neighbor, that is a little farther."""
    import onnxruntime

    run = onnxruntime.InferenceSession.run

    def wrong(session, names, feeds):
        logits, *choices = run(session, names, feeds)
        assert len(choices) == 5
        choices[layer][0, 0, 0] = (choices[layer][0, 0].max() + 1) % 16 if layer else choices[layer][0, 0, 1]
        return [logits, *choices]

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", wrong)
    monkeypatch.setattr(export, "_write", lambda model, images, path: path.write_bytes(written(tmp_path)))
    with pytest.raises(ValueError, match="selects other neighbors than the model; their similarity is"):
        to_onnx(model_of_the_file(), tmp_path / "model.onnx")


@quiet
@onnx
def test_a_file_that_is_right_passes_whatever_its_ties(tmp_path, monkeypatch):
    """Gray images, each of one value: patches away from the border are equally near."""
    monkeypatch.setattr(export, "_write", lambda model, images, path: path.write_bytes(written(tmp_path)))
    for images in (torch.linspace(-1, 1, 9).view(9, 1, 1, 1).expand(9, 3, 64, 64), torch.zeros(9, 3, 64, 64)):
        monkeypatch.setattr(export, "_images", lambda *_, images=images: images)
        assert to_onnx(model_of_the_file(), tmp_path / "model.onnx").read_bytes() == written(tmp_path)
        (tmp_path / "model.onnx").unlink()


@quiet
@onnx
@pytest.mark.parametrize("right", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_skipped_neighbors_are_skipped_in_the_file(tmp_path, monkeypatch, right):
    """With dilation 2; an exporter that took the nearest k of the 2 k would be found by the logits."""
    exported = _knn.knn_exported
    wrong = lambda x, y, k, step, *rest: exported(x, y, -(-k // step), 1, *rest)  # noqa: E731
    monkeypatch.setattr(_knn, "knn_exported", exported if right else wrong)
    model = calibrated(ViG("micro", num_classes=5, image_size=32, graph=knn_by_two))
    if right:
        to_onnx(model, tmp_path / "model.onnx")
    else:
        with pytest.raises(ValueError, match=r"other (logits|neighbors) than the model"):
            to_onnx(model, tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").exists() == right


def knn_by_two(k, dilation):
    return DilatedKNN(k, 2)


def loops(x, layout, x_src, layout_src):
    """A graph that reads the number of nodes of each image, in place of their sum."""
    return torch.arange(sum(list(layout.num_nodes_per_graph))).repeat(2, 1)


@quiet
@onnx
def test_a_graph_that_ties_the_file_to_a_number_of_images_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"fixed the batch size of this model at 9: its graph \(<function"):
        to_onnx(micro(ViG, graph=lambda k, dilation: loops), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@quiet
@onnx
def test_a_file_with_other_logits_gets_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr("vig_pyg.export.TOLERANCE", 0.0)
    with pytest.raises(ValueError, match="logits of the ONNX file differ from the model's"):
        to_onnx(micro(ViG), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_wrong_paths_and_missing_packages(tmp_path, monkeypatch):
    (tmp_path / "there.onnx").touch()
    with pytest.raises(FileExistsError, match="not overwritten"):
        to_onnx(micro(ViG), tmp_path / "there.onnx")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"needs onnx and onnxscript \(extra onnx\): .*pip install "):
        to_onnx(micro(ViG), tmp_path / "new.onnx")
