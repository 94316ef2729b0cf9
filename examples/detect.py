"""Detect objects: train a RetinaNet on PyramidViG on images of rectangles and discs, measure it, draw what it finds.

    uv run --extra train --extra plot --extra detection python examples/detect.py           # about five minutes
    uv run --extra train --extra plot --extra detection python examples/detect.py --smoke   # seconds, learns nothing

The images are made here, so nothing is downloaded. With images of your own, `vig-pyg detect train` does the same
from the command line; see `vig-pyg detect --help`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from vig_pyg import load
from vig_pyg.detection.config import Augmentation, DetectionConfig
from vig_pyg.detection.loading import load_data, make_detector
from vig_pyg.detection.predict import predict
from vig_pyg.engine import fit

CLASSES = ("disc", "rectangle")


def make_pictures(root: Path, count: int, seed: int) -> Path:
    """Noise with colored shapes, and where they are, in COCO's format."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        height, width = int(rng.integers(96, 144)), int(rng.integers(96, 160))  # no two of one size
        picture = Image.fromarray(rng.integers(60, 160, (height, width, 3), dtype=np.uint8))
        pen = ImageDraw.Draw(picture)
        for _ in range(rng.integers(0, 5)):  # some have none
            kind, side = int(rng.integers(2)), rng.integers(16, 48, 2)
            side = side.min().repeat(2) if kind == 0 else side
            x, y = (int(rng.integers(0, end - s)) for end, s in zip((width, height), side, strict=True))
            w, h = map(int, side)
            color = tuple(int(c) for c in rng.integers(0, 256, 3))
            (pen.ellipse if kind == 0 else pen.rectangle)((x, y, x + w - 1, y + h - 1), fill=color)
            entry = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": kind + 1, "bbox": [x, y, w, h]}
            annotations.append({**entry, "area": w * h, "iscrowd": 0})
        picture.save(root / "images" / f"{i}.png")
        images.append({"id": i + 1, "file_name": f"{i}.png", "height": height, "width": width})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    path = root / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/shapes"), help="folder, must not exist")
    parser.add_argument("--smoke", action="store_true", help="a few images, one epoch")
    args = parser.parse_args(argv)
    count, epochs = (4, 1) if args.smoke else (200, 20)
    train = make_pictures(args.out / "train", count, seed=0)
    val = make_pictures(args.out / "val", max(2, count // 4), seed=1)

    config = DetectionConfig(
        train=str(train),
        val=str(val),
        detector="retinanet",
        model="micro",
        # small objects want small anchors; a narrow feature pyramid is enough for two classes
        options={"patch_size": 4, "min_size": 128, "max_size": 192, "out_channels": 48, "anchor_scale": 3.0},
        epochs=epochs,
        lr=1e-3,
        batch_size=4,
        schedule="cosine",
        evaluate_every=5,
        num_workers=0,
        augmentation=Augmentation(flip="hv", scale=(0.8, 1.25)),
    )
    data = load_data(config)
    last = fit(make_detector(config, len(data.class_names)), data, config, args.out / "run")
    print(f"AP50 on {max(2, count // 4)} new images: {100 * last['val_AP50']:.1f} %")

    pictures = sorted((val.parent / "images").iterdir())[:6]
    found = predict(load(args.out / "run"), pictures, args.out / "found", threshold=0.4).annotations
    print(f"{len(found)} objects in {len(pictures)} images, drawn in {args.out / 'found'}")


if __name__ == "__main__":
    main()
