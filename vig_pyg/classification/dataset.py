"""A data set of labeled images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vig_pyg.classification._cache import as_array
from vig_pyg.classification.module import IGNORE
from vig_pyg.engine.sampler import Item
from vig_pyg.engine.seeds import seeded
from vig_pyg.image_io import StoredImage, UnreadableImageError, read_image
from vig_pyg.preprocess import DecodedImage

#: What to do about an image that cannot be read, at the end of a message.
ADVICE = "; remove it, or use on_bad='drop' (--on-bad drop)"


class ImageDataset(Dataset[tuple[Tensor, int]]):
    """A data set of labeled images.

    Args:
        sources: Files, images that are stored in other files, or images as arrays `(H, W)` or `(H, W, C)`.
        labels: The class index of each image.
        transform: Function from an image to a tensor.

    Example:
        >>> from vig_pyg.preprocess import Preprocessing
        >>> ImageDataset([np.zeros((8, 8), np.uint8)], [3], Preprocessing(image_size=8))[0][1]
        3
    """

    def __init__(
        self,
        sources: Sequence[str | StoredImage | np.ndarray],
        labels: Sequence[int],
        transform: Callable[[Any], Tensor],
    ) -> None:
        self.sources = sources
        self.labels = labels
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: Item) -> tuple[Tensor, int]:
        """Return image and label of an index; a pair (index, seed) sets the seed, and `None` returns padding."""
        if item is None:
            return torch.zeros_like(self.transform(self.image(0))), IGNORE
        if isinstance(item, tuple):
            with seeded(item[1]):
                return self[item[0]]
        return self.read(item, self.transform), self.labels[item]

    def image(self, i: int) -> DecodedImage:
        """Return the image without the transform."""
        return self.read(i, lambda image: image)

    def read(self, i: int, make: Callable[[Any], Any]) -> Any:
        """Return the image after a function; an error about the image states the name of its file.

        Raises:
            UnreadableImageError: If the image cannot be read; the message has the file name.
            FileNotFoundError: If the file does not exist.
        """
        source = self.sources[i]
        if isinstance(source, np.ndarray):
            # an image in memory is not converted for a model with another number of channels
            plain = source.dtype == np.uint8 and (source.ndim == 2 or source.shape[2] in (3, 4))
            return make(Image.fromarray(source) if plain else source)
        try:
            return make(read_image(source))
        except UnreadableImageError as error:
            reason = str(error).rstrip(".")
            raise UnreadableImageError(f"{source} cannot be read as an image ({reason}){ADVICE}.") from error

    def hold(self, prepare: Callable[[DecodedImage], Any]) -> None:
        """Read all images now, apply `prepare`, and keep the results as arrays in memory."""
        with ThreadPoolExecutor() as pool:  # PIL releases the interpreter's lock while it decodes
            self.sources = list(pool.map(lambda i: as_array(self.read(i, prepare)), range(len(self))))
