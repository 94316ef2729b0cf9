"""A model as an ONNX file, for runtimes without torch.

`torch.compile(model, fullgraph=True)` and `torch.export.export(model, (images,))` need nothing from here.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vig_pyg.data import Size
from vig_pyg.models import VisionGNN

#: Mean error of logits over their standard deviation that may come from rounding: where two sources are equally near,
#: another runtime may choose the other one.
TOLERANCE = 0.02
#: Images that a file is tried with.
IMAGES = 9


def to_onnx(model: VisionGNN[Any], path: str | Path, *, image_size: Size | None = None) -> Path:
    """Write a model as ONNX, with any number of images and one image size.

    Where onnxruntime is installed, the file is run before it gets its name, and must give the logits of the model.

    Args:
        model: A model, `fuse()`d or not; its evaluation mode is exported.
        path: The file to write; it must not exist.
        image_size: Height and width in pixels; by default the square that the model was made for.

    Returns:
        The path. Input `images (B, in_channels, H, W)`, output `logits (B, num_classes)`.

    Raises:
        FileExistsError: If the file exists.
        ImportError: If onnx and onnxscript are not installed.
        ValueError: If the file gives other logits than the model.

    Example:
        >>> from vig_pyg import vig_micro
        >>> to_onnx(vig_micro(image_size=32), "/nowhere/vig.onnx")
        Traceback (most recent call last):
        FileNotFoundError: There is no folder /nowhere.
    """
    path = Path(path)
    if path.exists():
        raise FileExistsError(f"{path} exists already and is not overwritten: choose another path, or remove it.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent}.")
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(f"Exporting needs {' and '.join(missing)}: pip install 'vig-pyg[onnx]'.")
    side = model.config.image_size
    height, width = image_size or (side, side)
    was_training = model.training
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shape, draw = (IMAGES, model.config.in_channels, height, width), torch.Generator().manual_seed(0)
        images = torch.randn(shape, generator=draw).to(model.pos_embed.weight.device)
        _write(model.eval(), images, partial)
        _check(model, images, partial)
        partial.replace(path)
    finally:
        model.train(was_training)
        partial.unlink(missing_ok=True)
    return path


@torch.no_grad()
def _write(model: VisionGNN[Any], images: Tensor, path: Path) -> None:
    dynamic = ({0: torch.export.Dim("batch", min=1, max=4096)},)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    made = torch.onnx.export(model, (images,), dynamo=True, verbose=False, dynamic_shapes=dynamic, **names)
    assert made is not None
    made.save(path)


@torch.no_grad()
def _check(model: VisionGNN[Any], images: Tensor, path: Path) -> None:
    """That the file gives the model's logits, for other numbers of images than it was exported with."""
    if importlib.util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    errors = []
    for part in images.split([1, IMAGES - 1]):
        want = model(part).float().cpu()
        (got,) = session.run(None, {"images": part.cpu().numpy()})
        errors.append((torch.from_numpy(got) - want).abs().mean(1) / want.std().clamp_min(1e-6))
    error = float(torch.cat(errors).median())  # most images have no tie that matters
    if not error < TOLERANCE:
        raise ValueError(f"The ONNX file gives other logits than the model, by {error:.1e} of their deviation.")
