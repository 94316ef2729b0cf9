"""Small images of bands of colors, with masks, in every supported layout."""

import json

import numpy as np
from PIL import Image

CLASSES = ["sky", "road", "tree"]
COLORS = np.array([[60, 120, 230], [90, 90, 90], [40, 160, 60]], dtype=np.uint8)


def scene(rng, size=None, classes=3):
    """An image whose colors show its classes, and its labels, a few of them ignored."""
    height, width = size or (int(rng.integers(30, 50)), int(rng.integers(30, 60)))
    bands = np.sort(rng.integers(1, height, classes - 1))
    labels = np.searchsorted(bands, np.arange(height), side="right").astype(np.uint8)[:, None].repeat(width, 1)
    noise = rng.integers(-20, 20, (height, width, 3))
    pixels = (COLORS[labels % 3].astype(int) + noise).clip(0, 255).astype(np.uint8)
    labels[: height // 8, : width // 8] = 255
    return pixels, labels


def palette(labels):
    image = Image.fromarray(labels)
    image.putpalette(np.random.default_rng(9).integers(0, 256, 768, dtype=np.uint8).tobytes())
    return image


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)


def make_folder(root, count=4, seed=0, size=None, indexed=False, classes=CLASSES):
    """`images/`, `masks/`, `classes.txt`; returns the folder."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels, labels = scene(rng, size)
        write(root / "images" / f"{i}.png", pixels)
        write(root / "masks" / f"{i}.png", palette(labels) if indexed else labels)
    (root / "classes.txt").write_text("\n".join(classes) + "\n")
    return root


def make_voc(root, count=4, seed=0):
    rng = np.random.default_rng(seed)
    names = [f"2007_{i:06}" for i in range(count)]
    for name in names:
        pixels, labels = scene(rng)
        write(root / "JPEGImages" / f"{name}.jpg", pixels)
        write(root / "SegmentationClass" / f"{name}.png", palette(labels))
    write(root / "JPEGImages" / "unused.jpg", pixels)
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names[:-1]) + "\n")
    (lists / "val.txt").write_text(names[-1] + "\n")
    return root


def make_ade20k(root, count=3, seed=0, names=True):
    rng = np.random.default_rng(seed)
    for part in ("training", "validation"):
        for i in range(count):
            pixels, labels = scene(rng)
            name = f"ADE_{part}_{i:08}"
            write(root / "images" / part / f"{name}.jpg", pixels)
            write(root / "annotations" / part / f"{name}.png", np.where(labels == 255, 0, labels + 1).astype(np.uint8))
    if names:
        rows = [
            "Idx\tRatio\tTrain\tVal\tName",
            *[f"{i + 1}\t0.1\t1\t1\t{name}, other" for i, name in enumerate(CLASSES)],
        ]
        (root / "objectInfo150.txt").write_text("\n".join(rows) + "\n")
    return root


def make_cityscapes(root, end="labelIds", seed=0):
    """Road, sky and car as the three classes: their numbers in `labelIds` are 7, 23 and 26, and 0 is ignored."""
    rng = np.random.default_rng(seed)
    table = np.zeros(256, dtype=np.uint8)
    table[:3] = [7, 23, 26] if end == "labelIds" else [0, 10, 13]
    table[255] = 0 if end == "labelIds" else 255
    for part, city in (("train", "aachen"), ("train", "bochum"), ("val", "lindau")):
        for i in range(2):
            pixels, labels = scene(rng)
            name = f"{city}_{i:06}_000019"
            write(root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png", pixels)
            fine = root / "gtFine" / part / city
            write(fine / f"{name}_gtFine_{end}.png", table[labels])
            write(fine / f"{name}_gtFine_color.png", pixels)
            (fine / f"{name}_gtFine_polygons.json").write_text("{}")
    return root


def make_panoptic(root, count=3, seed=0):
    """Segments 300, 301, ... of categories 5 (sky), 7 (road) and 9 (tree); the road of the last image is a crowd."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for i in range(count):
        pixels, labels = scene(rng)
        write(root / "images" / f"{i}.jpg", pixels)
        ids = np.where(labels == 255, 0, labels.astype(int) + 300)
        color = np.stack([ids % 256, ids // 256, ids // 65536], -1).astype(np.uint8)
        write(root / "panoptic_few" / f"{i}.png", color)
        segments = [
            {"id": 300 + c, "category_id": 5 + 2 * c, "iscrowd": int(c == 1 and i == count - 1)} for c in range(3)
        ]
        images.append({"id": 10 + i, "file_name": f"{i}.jpg", "height": len(labels), "width": len(labels[0])})
        annotations.append({"image_id": 10 + i, "file_name": f"{i}.png", "segments_info": segments})
    categories = [{"id": 9, "name": "tree"}, {"id": 5, "name": "sky"}, {"id": 7, "name": "road"}]
    path = root / "panoptic_few.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
