"""Files in the format of MNIST, for tests."""

import struct

import numpy as np


def idx(values):
    """The bytes of an array in MNIST's format."""
    return (
        struct.pack(">BBBB", 0, 0, 8, values.ndim) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    )


def write_mnist(root, name, rng):
    """Files of MNIST and its relatives: {part: (pixels, labels)}."""
    want = {}
    for part, count in (("train", 6), ("t10k", 4)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, count, dtype=np.uint8)
        folder = root / name / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
        want[part] = (pixels, labels)
    return want
