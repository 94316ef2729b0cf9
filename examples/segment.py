"""Label pixels: train a Semantic FPN on PyramidViG on images of rectangles and discs, measure it, draw what it sees.

    uv run --extra train --extra plot python examples/segment.py           # about three minutes
    uv run --extra train --extra plot python examples/segment.py --smoke   # seconds, learns nothing

The images are made here, so nothing is downloaded. With images of your own, `vig-pyg segment train` does the same from
the command line; see `vig-pyg segment --help`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vig_pyg import load
from vig_pyg.engine import fit
from vig_pyg.segmentation.config import Augmentation, SegmentationConfig
from vig_pyg.segmentation.loading import load_data, make_segmenter
from vig_pyg.segmentation.predict import predict

CLASSES = ("background", "disc", "rectangle")


def make_images(root: Path, count: int, seed: int) -> Path:
    """Noise with colored shapes in `images/`, and the class of each pixel in `masks/`."""
    rng = np.random.default_rng(seed)
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for i in range(count):
        height, width = int(rng.integers(64, 96)), int(rng.integers(64, 112))  # hardly two of one size
        image = Image.fromarray(rng.integers(60, 160, (height, width, 3), dtype=np.uint8))
        mask = Image.new("L", (width, height))
        pens = ImageDraw.Draw(image), ImageDraw.Draw(mask)
        for _ in range(rng.integers(1, 5)):
            kind, side = int(rng.integers(2)), rng.integers(12, 40, 2)
            side = side.min().repeat(2) if kind == 0 else side
            x, y = (int(rng.integers(0, end - s)) for end, s in zip((width, height), side, strict=True))
            place = (x, y, x + int(side[0]) - 1, y + int(side[1]) - 1)
            color = tuple(int(c) for c in rng.integers(0, 256, 3))
            for pen, fill in zip(pens, (color, kind + 1), strict=True):
                (pen.ellipse if kind == 0 else pen.rectangle)(place, fill=fill)
        image.save(root / "images" / f"{i}.png")
        mask.save(root / "masks" / f"{i}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return root


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/pixels"), help="folder, must not exist")
    parser.add_argument("--smoke", action="store_true", help="a few images, one epoch")
    args = parser.parse_args(argv)
    count, epochs = (4, 1) if args.smoke else (200, 30)
    train = make_images(args.out / "train", count, seed=0)
    val = make_images(args.out / "val", max(2, count // 4), seed=1)

    config = SegmentationConfig(
        train=str(train),
        val=str(val),
        model="micro",
        # a narrow head is enough for three classes
        options={"patch_size": 4, "out_channels": 48, "head_channels": 48},
        crop_size=(64, 64),
        augmentation=Augmentation(scale=(0.8, 1.25), flip="hv", color=0.2),
        epochs=epochs,
        lr=2e-3,
        warmup="5%",
        batch_size=4,
        evaluate_every=5,
        num_workers=0,
    )
    data = load_data(config)
    last = fit(make_segmenter(config, len(data.class_names)), data, config, args.out / "run")
    print(f"mIoU on {max(2, count // 4)} new images: {100 * last['val_mIoU']:.1f} %")

    images = sorted((val / "images").iterdir())[:6]
    predict(load(args.out / "run"), images, args.out / "found")
    print(f"{len(images)} images, drawn in {args.out / 'found' / 'drawings'}")


if __name__ == "__main__":
    main()
