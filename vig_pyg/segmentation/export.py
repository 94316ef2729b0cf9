"""Export of a segmentation network as an ONNX file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vig_pyg import export
from vig_pyg.data import Size
from vig_pyg.segmentation.segmenter import Segmenter


def to_onnx(model: Segmenter, path: str | Path, *, image_size: Size | None = None, dynamic_size: bool = False) -> Path:
    """Export a segmentation network, with a dynamic batch size and a fixed or dynamic image size.

    The file is tested like that of a classifier (see `vig_pyg.export.to_onnx`): it must select the same neighbors as
    the network, or equally near ones, and must give the same logits on these graphs.

    Args:
        model: The network, which is exported in evaluation mode.
        image_size: Height and width in pixels; by default the square of the `image_size` of the PyramidViG.
        dynamic_size: If true, the file accepts images of every height and width up to 4096 pixels (see
            `vig_pyg.export.to_onnx`).

    Returns:
        The path. The input of the file is `images (B, C, H, W)`, normalized, and the output is
        `logits (B, num_classes, H, W)`.

    Raises:
        FileExistsError: If the file exists.
        FileNotFoundError: If the folder does not exist.
        ImportError: If onnx or onnxscript is not installed.
        ValueError: If the neighbors or the logits of the file differ from those of the network, or if the exporter
            cannot make the size dynamic.
    """
    was_training = model.training
    try:
        wrapped: Any = _Logits(model)
        return export.to_onnx(wrapped, path, image_size=image_size, dynamic_size=dynamic_size)
    finally:
        model.train(was_training)


class _Logits(nn.Module):
    """A segmentation network that returns a tensor, with the attributes that the export of a classifier reads."""

    def __init__(self, model: Segmenter) -> None:
        super().__init__()
        self.model = model
        self.config = model.body.config
        self.feature_info = model.body.feature_info

    @property
    def first_parameter(self) -> nn.Parameter:
        """A parameter, which has the dtype and the device of the network."""
        return self.model.body.first_parameter

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(images)["out"]
        return logits
