"""Pascal VOC folders: `JPEGImages/`, `Annotations/`, `ImageSets/Main/`."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from PIL import Image

from vig_pyg.detection.records import Annotated, OnBad, Record, Thing, sound_box


def read_voc(root: str | Path, part: str, *, classes: list[str] | None = None, on_bad: OnBad = "drop") -> Annotated:
    """The pictures of one list of a Pascal VOC folder.

    VOC counts pixels from 1 and its boxes include their last pixel: (x1, x2) becomes (x1 - 1, x2). Objects marked
    difficult are taken as crowds: they are not trained on, and finding them is neither right nor wrong.

    Args:
        root: The folder.
        part: Name of the list, such as `"train"`.
        classes: Names of the classes; by default all that occur in the list, sorted.
        on_bad: What to do with boxes without area (see `sound_box`).

    Raises:
        FileNotFoundError: If the folder, the list, an annotation or a picture does not exist.
        ValueError: If an annotation cannot be read, or has a class that is not among `classes`, with the file.
    """
    root = Path(root)
    lists = root / "ImageSets" / "Main"
    if not lists.is_dir():
        raise FileNotFoundError(f"{root} is not a Pascal VOC folder: it has no ImageSets/Main.")
    if not (lists / f"{part}.txt").is_file():
        known = ", ".join(sorted(path.stem for path in lists.glob("*.txt")))
        raise FileNotFoundError(f"{lists} has no list {part!r}: choose one of {known}.")
    stems = [line.split()[0] for line in (lists / f"{part}.txt").read_text().splitlines() if line.strip()]
    if not stems:
        raise ValueError(f"{lists / part}.txt names no picture.")
    trees = {stem: _tree(root / "Annotations" / f"{stem}.xml") for stem in stems}
    found = {_text(thing, "name", stem) for stem, tree in trees.items() for thing in tree.iter("object")}
    names = sorted(found) if classes is None else classes
    unknown = sorted(found - set(names))
    if unknown:
        raise ValueError(f"The list {part!r} of {root} has classes that are not in the training set: {unknown}.")
    records = []
    for i, (stem, tree) in enumerate(trees.items()):
        path = _picture(root / "JPEGImages", stem, tree)
        size = _size(path, tree)
        records.append(Record(path, i + 1, size, _things(tree, path, size, names, on_bad)))
    return Annotated(f"{root.name}:{part}", records, names, list(range(1, len(names) + 1)))


def _tree(path: Path) -> ElementTree.Element:
    if not path.is_file():
        raise FileNotFoundError(f"There is no annotation at {path}.")
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} cannot be read as XML: {error}.") from error


def _text(element: ElementTree.Element, name: str, where: object) -> str:
    text = element.findtext(name)
    if text is None:
        raise ValueError(f"{where}: an object has no {name}.")
    return text.strip()


def _picture(folder: Path, stem: str, tree: ElementTree.Element) -> Path:
    for name in (tree.findtext("filename") or "", f"{stem}.jpg", f"{stem}.jpeg", f"{stem}.png"):
        if Path(name).stem == stem and (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"There is no picture of {stem} in {folder}.")


def _size(path: Path, tree: ElementTree.Element) -> tuple[int, int]:
    """Height and width that the annotation gives; those of the picture where it gives none."""
    height, width = (int(tree.findtext(f"size/{name}") or 0) for name in ("height", "width"))
    if height < 1 or width < 1:
        with Image.open(path) as image:
            width, height = image.size
    return height, width


def _things(
    tree: ElementTree.Element, path: Path, size: tuple[int, int], names: list[str], on_bad: OnBad
) -> list[Thing]:
    things = []
    for element in tree.iter("object"):
        try:
            x1, y1, x2, y2 = (float(_text(element, f"bndbox/{k}", path)) for k in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError as error:
            raise ValueError(f"{path}: a box cannot be read ({error}).") from error
        # equal corners are a slip of the mouse, not an object of one pixel
        corners = (x1, y1, x1, y1) if x2 <= x1 or y2 <= y1 else (x1 - 1, y1 - 1, x2, y2)
        name = _text(element, "name", path)
        box = sound_box(corners, size, f"{path}, {name}", on_bad)
        if box is not None:
            difficult = (element.findtext("difficult") or "0").strip() == "1"
            area = (box[2] - box[0]) * (box[3] - box[1])
            things.append(Thing(box, names.index(name) + 1, difficult, None, area))
    return things
