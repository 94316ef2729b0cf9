"""Small image folders for tests."""

import numpy as np
from PIL import Image


def make_folder(root, train=8, val=4):
    """Two classes of pictures that differ in colour, in two sizes, in `train/` and `val/`."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("val", val)):
        for c, name in enumerate(("blue", "red")):
            (root / part / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 100, (24 + 8 * (i % 2), 40, 3), dtype=np.uint8)
                pixels[..., 0 if c else 2] += 150
                Image.fromarray(pixels).save(root / part / name / f"{i}.png")
    return root
