"""Reading of Pascal VOC folders: `JPEGImages/`, `Annotations/`, `ImageSets/Main/`."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import TypeAlias
from xml.etree.ElementTree import Element

from vig_pyg._io.faults import raise_all, read_each
from vig_pyg._io.numbers import are, counted
from vig_pyg.detection._values import as_flag, as_number, as_size
from vig_pyg.detection._xml import read_xml
from vig_pyg.detection.records import Annotation, DetectionDataset, ImageRecord, OnBad, clip_box
from vig_pyg.detection.turns import settle
from vig_pyg.image_io import IMAGE_EXTENSIONS

#: Image extensions in order of preference, if several images have the same name.
ENDINGS = tuple(dict.fromkeys((".jpg", ".jpeg", ".png", *sorted(IMAGE_EXTENSIONS))))
#: Images of a folder by their names without extension.
_Folder: TypeAlias = dict[str, list[Path]]
_log = logging.getLogger(__name__)


def read_voc(
    root: str | Path, part: str, *, classes: list[str] | None = None, on_bad: OnBad = "drop"
) -> DetectionDataset:
    """Read the images of one list of a Pascal VOC folder.

    VOC numbers pixels from 1, and its boxes include the last pixel, so (x1, x2) becomes (x1 - 1, x2). Objects marked
    `difficult` become crowds: they are ignored in training, and detections that match them are not counted.

    Args:
        part: Name of the list, such as `"train"`.
        classes: Names of the classes; by default all that occur in the list, sorted.
        on_bad: How to handle boxes without area (see `clip_box`).

    Raises:
        FileNotFoundError: If the folder, the list, an annotation or an image does not exist.
        ValueError: If an annotation cannot be read, or has a class that is not among `classes`; the message names the
            file.
    """
    root = Path(root)
    stems = _stems(root, part)
    errors: list[Exception] = []
    trees = dict(read_each(lambda stem: (stem, _annotation(root / "Annotations" / f"{stem}.xml")), stems, errors))
    folder = _images(root / "JPEGImages")
    places = dict(
        read_each(lambda stem: (stem, _image(root / "JPEGImages", folder, stem, trees[stem])), list(trees), errors)
    )
    raise_all(errors, len(stems), what=f"images of {root.name}:{part}")
    found = {
        _name(thing, root / "Annotations" / f"{stem}.xml")
        for stem, tree in trees.items()
        for thing in tree.iter("object")
    }
    names = sorted(found) if classes is None else classes
    unknown = sorted(found - set(names))
    if unknown:
        raise ValueError(f"The list {part!r} of {root} has classes that are not in the training set: {unknown}.")
    records, files = [], dict[Path, str]()
    for i, (stem, tree) in enumerate(trees.items()):
        path = places[stem]
        if files.setdefault(path, stem) != stem:
            raise ValueError(f"{root}: the annotations {files[path]} and {stem} belong to one image, {path.name}.")
        where = root / "Annotations" / f"{stem}.xml"
        height, width = ((tree.findtext(f"size/{name}") or "").strip() for name in ("height", "width"))
        given = as_size(height, width, where)
        size, turn = settle(path, given, objects=tree.find(".//object") is not None)
        record = ImageRecord(path, i + 1, size, turn=turn)
        records.append(replace(record, annotations=_things(tree, where, record, names, on_bad)))
    read = [root / "ImageSets" / "Main" / f"{part}.txt", *(root / "Annotations" / f"{stem}.xml" for stem in stems)]
    title, numbers = f"{root.name}:{part}", list(range(1, len(names) + 1))
    return DetectionDataset(title, records, names, numbers, on_bad, read_files=read)


def _annotation(path: Path) -> Element:
    """Read the XML tree of an annotation; without a check, another kind of XML would be an image without objects."""
    tree = read_xml(path)
    if tree.tag != "annotation":
        raise ValueError(
            f"{path} is not a Pascal VOC annotation: expected the root element <annotation>, got <{tree.tag[:80]}>."
        )
    return tree


def _stems(root: Path, part: str) -> list[str]:
    """Return the image names in a list, each once."""
    lists = root / "ImageSets" / "Main"
    if not lists.is_dir():
        raise FileNotFoundError(
            f"{root} is not a Pascal VOC folder: it has no ImageSets/Main with lists of names, such as train.txt."
        )
    path = lists / f"{part}.txt"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in lists.glob("*.txt") if not file.name.startswith(".")))
        raise FileNotFoundError(
            f"{lists} has no list {part!r}: {known and 'choose one of '}{known or 'no list exists'}."
        )
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text ({error}).") from error
    stems = list(dict.fromkeys(_stem(root, line) for line in lines if line))
    if not stems:
        raise ValueError(f"{path} contains no image name.")
    return stems


def _stem(root: Path, line: str) -> str:
    """Return the name in a line, without a file extension, and without the label of one class (1, 0 or -1) after it."""
    *first, last = line.split()
    names = [line, *([line.removesuffix(last).strip()] if first and last in ("1", "0", "-1") else [])]
    stems = [stem for name in names for stem in (name, _without_ending(name))]
    there = [stem for stem in stems if (root / "Annotations" / f"{stem}.xml").is_file()]
    return there[0] if there else stems[-1]


def _without_ending(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in (*ENDINGS, ".xml") else name


def _name(element: Element, where: Path) -> str:
    name = " ".join((element.findtext("name") or "").split())
    if not name:
        raise ValueError(f"{where}: an object has no name.")
    return name


def _images(folder: Path) -> _Folder:
    """Return the images of a folder, those with preferred extensions first."""
    found: _Folder = {}
    if folder.is_dir():
        files = [p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and not p.name.startswith(".")]
        for path in sorted(files, key=lambda path: (ENDINGS.index(path.suffix.lower()), path.name)):
            found.setdefault(path.stem, []).append(path)
    return found


def _image(root: Path, folder: _Folder, stem: str, tree: Element) -> Path:
    """Return the image of an annotation, which has the same name and any extension, or is named in the annotation."""
    # The path may contain slashes or backslashes.
    written = PureWindowsPath((tree.findtext("filename") or "").strip()).name
    same = folder.get(stem, [])
    named = [path for path in same if path.name == written]
    there = [path for path in (named or same) if path.is_file()]
    if there:
        if len(there) > 1:
            _log.warning("%s: several images are called %s; %s is used.", root, stem, there[0].name)
        return there[0]
    try:
        if written and (root / written).is_file():
            return root / written
    except (OSError, ValueError):  # not a valid file name
        pass
    raise FileNotFoundError(f"There is no image for the annotation {stem} in {root}.")


def _things(tree: Element, file: Path, record: ImageRecord, names: list[str], on_bad: OnBad) -> list[Annotation]:
    things, beyond = [], []
    for i, element in enumerate(tree.iter("object")):
        name = _name(element, file)
        where, what = f"{file}, object {i + 1}: {record.path.name}", f"object {i + 1}, {name}"
        try:
            x1, y1, x2, y2 = (_corner(element, key) for key in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError as error:
            raise ValueError(f"{where}: a box cannot be read ({error}).") from error
        try:
            word = (element.findtext("difficult") or "").strip()
            difficult = as_flag("" if word.lower() == "unspecified" else word)
        except ValueError as error:
            raise ValueError(f"{where}, {name}: difficult: {error}.") from None
        # equal corners are an annotation mistake, not an object of one pixel
        corners = (x1, y1, x1, y1) if x2 <= x1 or y2 <= y1 else (x1 - 1, y1 - 1, x2, y2)
        box = clip_box(corners, record.size, f"{where}, {name}", on_bad)
        if box is not None:
            beyond += [what] if x2 > 1.1 * record.size[1] + 1 or y2 > 1.1 * record.size[0] + 1 else []
            area = (box[2] - box[0]) * (box[3] - box[1])
            things.append(Annotation(box, names.index(name) + 1, difficult, None, area, what))
    if beyond:
        boxes = f"{counted(len(beyond), 'boxes')} {'extends' if len(beyond) == 1 else 'extend'}"
        text = "%s: %s far beyond the image of %d x %d pixels and %s clipped; the first is that of %s."
        _log.warning(text, file, boxes, *record.size[::-1], are(len(beyond)), beyond[0])
    return things


def _corner(element: Element, key: str) -> float:
    text = element.findtext(f"bndbox/{key}")
    if text is None:
        raise ValueError(f"an object has no bndbox/{key}")
    return as_number(text.strip())
