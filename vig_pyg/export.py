"""Export of a model as an ONNX file, for runtimes without torch.

`torch.compile(model, fullgraph=True)` and `torch.export.export(model, (images,))` work without this module.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vig_pyg._requirements import missing_message
from vig_pyg.data import BatchLayout, Size
from vig_pyg.graph import DilatedKNN, Edges, with_edge_attr
from vig_pyg.graph.dilated_knn import shrink
from vig_pyg.models import VisionGNN
from vig_pyg.ops import unit_rows

#: Largest error of the logits of an image, divided by their standard deviation, that counts as rounding.
TOLERANCE = 2e-3
#: Two sources whose cosine similarities differ by at most this number are a tie, for which another runtime may choose
#: the other source.
TIE = 1e-4
#: Largest image height and width that a file with `dynamic_size` accepts.
LARGEST = 4096
#: Number of images with which a file is tested.
IMAGES = 9


def to_onnx(
    model: VisionGNN[Any], path: str | Path, *, image_size: Size | None = None, dynamic_size: bool = False
) -> Path:
    """Export a model as an ONNX file with a dynamic batch size, and a fixed or dynamic image size.

    If onnxruntime is installed, the file is tested with nine images before it is saved. It must select the same
    neighbors as the model, or equally near ones, and must give the same logits on these graphs.

    Args:
        model: A model, fused or not, which is exported in evaluation mode.
        path: Path of the file, which must not exist.
        image_size: Height and width in pixels; by default the square of `model.config.image_size`.
        dynamic_size: If true, the file accepts images of every height and width up to 4096 pixels that have at least
            two rows and columns of patches in the last stage. This requires at least 17 pixels for an isotropic model
            with patch size 16, and 33 pixels for a pyramid with patch size 4. The model must have `graph="knn"`.
            Position codes are then computed by the exported program.

    Shapes: the file maps `images (B, in_channels, H, W)` to `logits (B, num_classes)`. If the model has class names and
    a preprocessing, they are in the metadata of the file as JSON.

    Returns:
        The path.

    Raises:
        FileExistsError: If the file exists.
        FileNotFoundError: If the folder does not exist.
        ImportError: If onnx or onnxscript is not installed.
        ValueError: If the neighbors or the logits of the file differ from those of the model, or if the exporter fixes
            the batch size, or cannot make the image size dynamic, as for some graph builders.

    Example:
        >>> from vig_pyg import vig_micro
        >>> to_onnx(vig_micro(image_size=32), "/nowhere/vig.onnx")
        Traceback (most recent call last):
        FileNotFoundError: The folder /nowhere does not exist: create it first.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another path, or remove it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"The folder {path.parent} does not exist: create it first.")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(missing_message(f"Exporting needs {' and '.join(missing)}", "onnx"))
    side = model.config.image_size
    height, width = image_size or (side, side)
    was_training = model.training
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        batches = [
            _images(count, model.config.in_channels, *size).to(model.first_parameter.device)
            for count, size in _tests(model, (height, width), dynamic_size)
        ]
        if dynamic_size:
            _write_any_size(model.eval(), batches[0], partial)
        else:
            _write(model.eval(), batches[0], partial)
        _check(model, batches, partial)
        partial.replace(path)
    finally:
        model.train(was_training)
        partial.unlink(missing_ok=True)
    return path


def _images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), device="cpu")


def _tests(model: VisionGNN[Any], size: Size, dynamic_size: bool) -> list[tuple[int, Size]]:
    """The batch sizes and image sizes with which a file is tested."""
    (height, width), smallest = size, _smallest(model)
    others = [(2, (height + smallest, width)), (3, (max(smallest, height // 2), width + smallest - 1))]
    return [(IMAGES, size), *(others if dynamic_size else [])]


@torch.no_grad()
def _write(model: VisionGNN[Any], images: Tensor, path: Path, sides: dict[int, Any] | None = None) -> None:
    dynamic = {0: torch.export.Dim("batch", min=1, max=4096), **(sides or {})}
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    try:
        made = torch.onnx.export(model, (images,), dynamo=True, verbose=False, dynamic_shapes=(dynamic,), **names)
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(
            f"torch cannot convert this model with graph={model.config.graph!r} and conv={model.config.conv!r} to ONNX "
            f"({_reason(error)}): use another graph or operator, or torch.export.export."
        ) from error
    assert made is not None
    shape: Any = made.model.graph.inputs[0].shape
    for i in dynamic:
        if isinstance(shape[i], int):  # some of the exporter's strategies fix a size silently
            raise ValueError(
                f"The exporter fixed the {('batch size', '', 'image height', 'image width')[i]} of this model at "
                f"{shape[i]}: its graph ({model.config.graph!r}) depends on it. Export a model with graph='knn'."
            )
    # only classifiers have them
    class_names, look = (getattr(model, name, None) for name in ("class_names", "preprocessing"))
    known = {"class_names": class_names, "preprocessing": look and asdict(look)}
    made.model.metadata_props.update({name: json.dumps(value) for name, value in known.items() if value is not None})
    made.save(path)


def _reason(error: BaseException) -> str:
    """Return the first line of the cause of the exporter's error, which has hundreds of lines."""
    lines = (line for line in str(error.__cause__ or error).splitlines() if line.strip())
    return next(lines, type(error).__name__)[:300]


def _smallest(model: VisionGNN[Any]) -> int:
    """The smallest image height and width for `dynamic_size`; exporters would fix a dimension of length 1."""
    return 1 + max(int(info["reduction"]) for info in model.feature_info)


def _write_any_size(model: VisionGNN[Any], images: Tensor, path: Path) -> None:
    """As `_write`, with dynamic height and width.

    Raises:
        ValueError: If the exporter cannot make them dynamic.
    """
    smallest = _smallest(model)
    height, width = (max(size, 4 * smallest) for size in images.shape[2:])
    # If height and width were equal, the exporter could represent both by one symbol.
    example = _images(2, images.size(1), height, width + smallest).to(images.device)
    sides = {i: torch.export.Dim(name, min=smallest, max=LARGEST) for i, name in ((2, "height"), (3, "width"))}
    try:
        _write(model, example, path, sides)
    except Exception as error:
        graph, advice = model.config.graph, "export a model with graph='knn', or leave dynamic_size out"
        if graph in (None, "knn"):  # then the graph is not the reason
            advice = f"{_reason(error.__cause__ or error)}. Leave dynamic_size out, or see the traceback"
        raise ValueError(
            f"The exporter cannot make the image size dynamic for this model, with graph {graph!r}: {advice}."
        ) from error


@torch.no_grad()
def _check(model: VisionGNN[Any], batches: list[Tensor], path: Path) -> None:
    """Check that the file gives the logits of the model, also for batch sizes other than that of the export."""
    if importlib.util.find_spec("onnxruntime") is None:
        return
    session, searches = _session(path)
    images, *others = batches
    # If the numbers differ, a user's builder has a search of its own.
    known = searches == _count_searches(model, images[:1])
    errors = []
    for part in (*images.split([1, IMAGES - 1]), *others):
        logits, *choices = session.run(None, {"images": part.cpu().numpy()})
        with _chosen(model, [torch.from_numpy(one) for one in choices] if known else []):
            want = model(part).float().cpu()
        errors.append((torch.from_numpy(logits) - want).abs().flatten(1).amax(1) / want.std().clamp_min(1e-6))
    of_images = torch.cat(errors)
    # If the searches are unknown, so are ties, but most images have none.
    error = float(of_images.max() if known else of_images.median())
    if not error < TOLERANCE:
        draws = not torch.equal(model(images), model(images))
        hint = (
            " The model draws random numbers, which differ in the file: use a graph that draws none." if draws else ""
        )
        raise ValueError(
            f"The logits of the ONNX file differ from the model's by {error:.1e} standard deviations.{hint}"
        )


def _session(path: Path) -> tuple[Any, int]:
    """Return a session that also outputs the neighbors of each search, and the number of searches."""
    import onnx
    import onnxruntime

    file = onnx.load(path)
    choices = [node.output[1] for node in file.graph.node if node.op_type == "TopK"]
    file.graph.output.extend(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT64, None) for name in choices)
    return onnxruntime.InferenceSession(file.SerializeToString(), providers=["CPUExecutionProvider"]), len(choices)


def _searches(model: VisionGNN[Any]) -> list[DilatedKNN]:
    return [module for module in model.modules() if isinstance(module, DilatedKNN)]


def _count_searches(model: VisionGNN[Any], images: Tensor) -> int:
    """Count the neighbor searches of one forward pass."""
    seen: list[Any] = []
    hooks = [module.register_forward_hook(lambda *_: seen.append(None)) for module in _searches(model)]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return len(seen)


@contextmanager
def _chosen(model: VisionGNN[Any], choices: list[Tensor]) -> Iterator[None]:
    """A context in which the model's searches return given sources `(B, n, k)`, if these are as near as its own."""
    left = iter(choices)

    def choose(search: DilatedKNN, args: tuple[Tensor, BatchLayout, Tensor, BatchLayout], _: Edges) -> Edges:
        return with_edge_attr(_as_near(search, *args, next(left)), search.edge_attr, *args)

    hooks = [module.register_forward_hook(choose) for module in _searches(model)] if choices else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _as_near(
    search: DilatedKNN, x: Tensor, layout: BatchLayout, x_src: Tensor, layout_src: BatchLayout, choice: Tensor
) -> Tensor:
    """Return the edges from the chosen sources; raise `ValueError` if they are not as near as the nearest ones."""
    (n,), (m,) = layout.distinct_num_nodes, layout_src.distinct_num_nodes
    k, step = shrink(search.k, search.dilation, m)
    # With `dynamic_size`, more sources are selected if an image is small.
    choice = choice[..., : (k - 1) * step + 1].to(x.device)
    targets, sources = unit_rows(x, [n]).view(-1, n, x.size(1)), unit_rows(x_src, [m]).view(-1, m, x.size(1))
    near = targets @ sources.transpose(1, 2)  # (B, n, m)
    if search.position is not None:
        codes = search.position(layout, layout_src, x.size(1), near.dtype)
        near = near + codes.p @ codes.q.t()
    best = near.topk(choice.size(2), dim=-1).values  # (B, n, k)
    off = float((near.gather(2, choice) - best).abs().max())
    if not off < TIE:
        raise ValueError(f"The ONNX file selects other neighbors than the model; their similarity is {off:.1e} lower.")
    image = torch.arange(len(choice), device=x.device).view(-1, 1, 1)
    source = (choice + image * m)[..., ::step]  # (B, n, kept)
    target = image * n + torch.arange(n, device=x.device).view(1, -1, 1).expand_as(source)
    return torch.stack([source.flatten(), target.flatten()])
