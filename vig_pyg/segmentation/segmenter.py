"""A network for semantic segmentation: a pyramid and a head on its feature maps.

Shapes: B images, C channels, H x W pixels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vig_pyg.data import Maps
from vig_pyg.detection.backbone import freeze_layers
from vig_pyg.detection.norm import NormMode, set_norms
from vig_pyg.models import VisionGNN
from vig_pyg.segmentation.heads import resize_map


class Segmenter(nn.Module):
    """A pyramid of a Vision GNN and a head, with the interface of torchvision's segmentation models.

    A list of images of several sizes is one ragged batch without padding: the nodes of all images pass through the
    network together, and the head processes the images of each size together. Therefore in evaluation, the logits of an
    image do not depend on the batch.

    Args:
        body: The backbone; its classifier is removed.
        head: Module that converts the list of the four maps to logits at the size of the finest map.
        trainable_layers: Number of trained layers in the order stage 4, 3, 2, 1, stem; the batch norms of the others
            are frozen.
        norm: Kind of the batch norms in the trained layers: `"frozen"`, `"batch"` or `"sync"`.

    Shapes: normalized images `(B, C, H, W)` to `{"out": (B, num_classes, H, W)}`; a list of `(C, H_i, W_i)` to
    `{"out": [(num_classes, H_i, W_i), ...]}`. Images smaller than a patch are enlarged to the size of a patch.

    Raises:
        ValueError: If `trainable_layers` or `norm` is out of range.

    Example:
        >>> from vig_pyg.segmentation.heads import SemanticFPN
        >>> from vig_pyg import PyramidViG
        >>> body = PyramidViG("micro", position="grid")
        >>> head = SemanticFPN(body.config.channels, 3, out_channels=16, head_channels=16)
        >>> out = Segmenter(body, head).eval()([torch.rand(3, 30, 40), torch.rand(3, 17, 64)])["out"]
        >>> [tuple(logits.shape) for logits in out]
        [(3, 30, 40), (3, 17, 64)]
    """

    #: The configuration (see `vig_pyg.segmentation.builders.SegmenterConfig`), which the builders set.
    config: Any

    def __init__(
        self, body: VisionGNN[Any], head: nn.Module, *, trainable_layers: int = 5, norm: NormMode = "batch"
    ) -> None:
        super().__init__()
        body.reset_classifier(0)
        self.body = body
        self.head = head
        set_norms(body, norm)
        freeze_layers(body, trainable_layers)

    def forward(self, images: Maps) -> dict[str, Any]:
        if isinstance(images, Tensor):
            maps = self._maps(_enlarged(images, self.body.config.patch_size))
            return {"out": resize_map(self.head(maps), images.shape[2:])}
        patch = self.body.config.patch_size
        parts = [_enlarged(image, patch) for image in images]
        groups: dict[torch.Size, list[int]] = {}
        for i, part in enumerate(parts):
            groups.setdefault(part.shape, []).append(i)
        if len(groups) == 1:
            maps = self._maps(torch.stack(parts))
            return {"out": self._resized(maps, list(range(len(parts))), images)}
        ragged = self._maps(parts)
        out: dict[int, Tensor] = {}
        for index in groups.values():
            # (C_s, H_i, W_i) of the images of one size -> (b, C_s, H_i, W_i)
            maps = [torch.stack([of_stage[i] for i in index]) for of_stage in ragged]
            out |= dict(zip(index, self._resized(maps, index, images), strict=True))
        return {"out": [out[i] for i in range(len(parts))]}

    def _maps(self, images: Maps) -> list[Any]:
        # This calls the method of the class, because timm's version of a pyramid returns more than maps.
        return VisionGNN.forward_intermediates(self.body, images)

    def _resized(self, maps: list[Tensor], index: list[int], images: list[Tensor]) -> list[Tensor]:
        """Return the logits of some images at the sizes of these images."""
        logits = self.head(maps)
        return [resize_map(logits[j : j + 1], images[i].shape[1:])[0] for j, i in enumerate(index)]


def logits_of(model: nn.Module, images: Maps) -> Maps:
    """Return the logits of images of one size or of several, from any network with torchvision's interface.

    Args:
        model: A `Segmenter`, which processes images of several sizes together, or any other network from `(B, C, H, W)`
            to `{"out": (B, num_classes, H, W)}`, which processes them one by one.
        images: A tensor `(B, C, H, W)`, or a list of `(C, H_i, W_i)`.

    Shapes: a tensor `(B, num_classes, H, W)`, or a list of `(num_classes, H_i, W_i)`.

    Example:
        >>> network = lambda x: {"out": x[:, :2]}
        >>> [logits.shape for logits in logits_of(network, [torch.rand(3, 4, 5), torch.rand(3, 2, 2)])]
        [torch.Size([2, 4, 5]), torch.Size([2, 2, 2])]
    """
    if isinstance(images, Tensor) or isinstance(model, Segmenter):
        found: Maps = model(images)["out"]
        return found
    return [model(image[None])["out"][0] for image in images]


def _enlarged(image: Tensor, patch: int) -> Tensor:
    """Enlarge images `(..., C, H, W)` so that no side is shorter than a patch; others are returned unchanged."""
    if not isinstance(image, Tensor) or image.dim() < 3 or (image.size(-2) >= patch and image.size(-1) >= patch):
        return image
    if not image.numel() or not image.is_floating_point():
        return image  # the network raises an error for such images
    size = [max(patch, side) for side in image.shape[-2:]]
    larger = F.interpolate(image if image.dim() == 4 else image[None], size=size, mode="nearest")
    return larger if image.dim() == 4 else larger[0]
