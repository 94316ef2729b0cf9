"""Images that are parts of another file, such as a shard or a table."""

from __future__ import annotations

import numpy as np


class StoredImage:
    """An image that is not a file of its own; `read_image` reads it like a file.

    A subclass defines `content`, and `__str__` for messages. Objects are pickled for data loading processes, so they
    should store where an image is, such as a path and a position in this file, rather than pixels or open files.

    Raises:
        NotImplementedError: In `content`, if a subclass does not define it.

    Example:
        >>> from io import BytesIO
        >>> from PIL import Image
        >>> from vig_pyg.image_io import read_image
        >>> class Red(StoredImage):
        ...     def content(self):
        ...         file = BytesIO()
        ...         Image.new("RGB", (4, 3), "red").save(file, "PNG")
        ...         return file.getvalue()
        >>> read_image(Red()).size
        (4, 3)
    """

    __slots__ = ()

    #: The file that contains the image, which no output may replace; `None` if it is not known.
    file: str | None = None
    #: Number of stored bytes; 0 if it is not known without reading.
    size: int = 0

    def content(self) -> bytes | np.ndarray | str:
        """Return the bytes of an image file, an array `(H, W)` or `(H, W, C)` of pixels, or the path of a file.

        Raises:
            UnreadableImageError: If the image cannot be read; the message is the reason.
            FileNotFoundError: If the file that contains it does not exist.
        """
        raise NotImplementedError
