"""Images with colored rectangles, in COCO's format and as Pascal VOC folders."""

import json
from xml.etree import ElementTree

import numpy as np
from PIL import Image

CLASSES = ["blue", "red"]


def scene(rng, size):
    """Gray noise with one or two rectangles: pixels, and (x1, y1, x2, y2, class index) of each."""
    height, width = size
    pixels = rng.integers(90, 130, (height, width, 3), dtype=np.uint8)
    things = []
    for kind in rng.permutation(2)[: rng.integers(1, 3)]:
        w, h = rng.integers(width // 4, width // 2), rng.integers(height // 4, height // 2)
        x, y = rng.integers(0, width // 2 - w + 1) + width // 2 * kind, rng.integers(0, height - h)  # side by side
        pixels[y : y + h, x : x + w] = (20, 20, 240) if kind == 0 else (240, 20, 20)
        things.append((int(x), int(y), int(x + w), int(y + h), int(kind)))
    return pixels, things


def coco_entry(number, image_id, box, kind, crowd=False):
    x1, y1, x2, y2 = box
    outline = [[x1, y1, x2, y1, x2, y2, x1, y2]]
    return {
        "id": number, "image_id": image_id, "category_id": (3, 7)[kind], "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd), "segmentation": outline,
    }  # fmt: skip


def make_coco(root, count=6, size=(48, 64), seed=0, taller=16):
    """`instances.json` and `images/`; every second image is taller. Image ids are 10, 20, ...; categories 3 and 7."""
    rng = np.random.default_rng(seed)
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        h, w = (size[0] + taller * (i % 2), size[1])
        pixels, things = scene(rng, (h, w))
        Image.fromarray(pixels).save(root / "images" / f"{i}.png")
        images.append({"id": 10 * (i + 1), "file_name": f"{i}.png", "height": h, "width": w})
        for *box, kind in things:
            annotations.append(coco_entry(len(annotations) + 1, 10 * (i + 1), box, kind))
    categories = [{"id": 7, "name": "red"}, {"id": 3, "name": "blue"}]
    path = root / "instances.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


def change(path, function):
    """Rewrite a COCO file."""
    content = json.loads(path.read_text())
    function(content)
    path.write_text(json.dumps(content))


def add_picture(path, size, boxes=(), crowd=False):
    """One more image of noise in a COCO file, with objects (x1, y1, x2, y2)."""
    rng = np.random.default_rng(1)

    def add(content):
        image_id = max(entry["id"] for entry in content["images"]) + 10
        name = f"{image_id}.png"
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path.parent / "images" / name)
        content["images"].append({"id": image_id, "file_name": name, "height": size[0], "width": size[1]})
        for box in boxes:
            content["annotations"].append(coco_entry(len(content["annotations"]) + 1, image_id, box, 0, crowd))

    change(path, add)


def make_voc(root, count=4, size=(48, 64)):
    """A Pascal VOC folder with the lists `train` (all but the last image) and `test` (the last)."""
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for i in range(count):
        pixels, things = scene(rng, size)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"pic{i}.jpg", quality=100, subsampling=0)
        tree = ElementTree.Element("annotation")
        ElementTree.SubElement(tree, "filename").text = f"pic{i}.jpg"
        for name, side in zip(("width", "height"), (size[1], size[0]), strict=True):
            ElementTree.SubElement(_child(tree, "size"), name).text = str(side)
        for x1, y1, x2, y2, kind in things:
            add_object(tree, (x1 + 1, y1 + 1, x2, y2), CLASSES[kind])
        ElementTree.ElementTree(tree).write(root / "Annotations" / f"pic{i}.xml")
    names = [f"pic{i}" for i in range(count)]
    (root / "ImageSets/Main/train.txt").write_text("\n".join(names[:-1]) + "\n")
    (root / "ImageSets/Main/test.txt").write_text(f"{names[-1]}  1\n")
    return root


def add_object(tree, corners, name, difficult="0"):
    element = ElementTree.SubElement(tree, "object")
    ElementTree.SubElement(element, "name").text = name
    ElementTree.SubElement(element, "difficult").text = difficult
    box = ElementTree.SubElement(element, "bndbox")
    for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
        ElementTree.SubElement(box, key).text = str(value)


def add_to_file(path, corners, name, difficult="0"):
    """One more object in an annotation of Pascal VOC."""
    tree = ElementTree.parse(path)
    add_object(tree.getroot(), corners, name, difficult)
    tree.write(path)


def _child(tree, name):
    found = tree.find(name)
    return ElementTree.SubElement(tree, name) if found is None else found


def covered(image, target):
    """Whether each mask is where its rectangle is, and within its box."""
    for box, label, mask in zip(target["boxes"], target["labels"], target["masks"], strict=True):
        own, other = (0, 2) if label == 2 else (2, 0)
        inside = mask.bool()
        if not inside.any():
            return False
        rows, columns = inside.nonzero().t()
        x1, y1, x2, y2 = box.tolist()
        if columns.min() < x1 - 1 or columns.max() > x2 + 1 or rows.min() < y1 - 1 or rows.max() > y2 + 1:
            return False
        if (image[own] - image[other])[inside].mean() < 0.3:
            return False
    return True
