"""Reading of images stored as NumPy arrays, which may have any number of channels."""

from __future__ import annotations

import os
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy

from vig_pyg.image_io._limits import MAX_BYTES, UnreadableImageError, check_size

#: The first bytes of a `.npy` file.
MAGIC = b"\x93NUMPY"

#: The accepted range of floats; resizing may have produced values slightly outside of 0 to 1.
_SLACK = 0.1


def read_array(file: BinaryIO) -> np.ndarray:
    """Read the array of an open `.npy` file; the header is checked before the data is read, and no code is executed.

    Raises:
        UnreadableImageError: If the array is not an image `(H, W)` or `(H, W, C)` of uint8, uint16, bool or finite
            floats from 0 to 1, or exceeds the size limits.
    """
    try:
        version = npy.read_magic(file)
        read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read_header is None:
            raise UnreadableImageError(f"a NumPy array in format {version}, expected 1.0 or 2.0")
        shape, _, dtype = read_header(file)
    except UnreadableImageError:
        raise
    except (ValueError, EOFError, SyntaxError, RecursionError, MemoryError) as error:
        raise UnreadableImageError(f"damaged or cut short ({error})") from error
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise UnreadableImageError(f"its array has the shape {shape}, expected (height, width, channels)")
    check_size(shape[1], shape[0])
    _check_dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if size > MAX_BYTES:
        raise UnreadableImageError(f"its array of {size} bytes is larger than {MAX_BYTES}")
    start = file.tell()
    if file.seek(0, os.SEEK_END) - start < size:
        raise UnreadableImageError("damaged or truncated (it has fewer bytes than its header declares)")
    file.seek(0)
    array = plain_array(npy.read_array(file, allow_pickle=False))
    if array.dtype != np.uint8:
        if not np.isfinite(array).all():
            raise UnreadableImageError("its array has values that are not finite")
        low, high = float(array.min()), float(array.max())
        if low < -_SLACK or high > 1 + _SLACK:
            raise UnreadableImageError(f"its array has floats from {low:g} to {high:g}, expected from 0 to 1: scale it")
    return array


def _check_dtype(dtype: np.dtype) -> None:
    if dtype.kind not in "bf" and dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise UnreadableImageError(f"its array is of {dtype}, expected uint8, uint16, bool, or floats from 0 to 1")


def plain_array(array: np.ndarray) -> np.ndarray:
    """Convert an array to uint8 or float32; uint16 and bool become floats from 0 to 1.

    Args:
        array: An array of uint8, uint16, bool or floats.

    Shapes: any shape to the same shape.

    Raises:
        UnreadableImageError: If the array has another dtype, whose range is not known.

    Example:
        >>> plain_array(np.array([0, 65535], dtype=np.uint16)).tolist()
        [0.0, 1.0]
    """
    _check_dtype(array.dtype)
    if array.dtype == np.uint8:
        return array
    scale = 65535 if array.dtype.kind == "u" else 1
    return array.astype(np.float32) / np.float32(scale) if scale > 1 else array.astype(np.float32, copy=False)
