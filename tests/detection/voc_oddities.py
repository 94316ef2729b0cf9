"""Pascal VOC folders as people have them: changes of a sound one, and what must come of each."""

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree

from PIL import Image

from tests.detection.scenes import make_voc
from vig_pyg.detection.voc import read_voc


@dataclass
class Case:
    root: object
    rng: object
    free: list  # names of images that no other change has touched
    trees: dict
    expected: dict  # name of an image: [(class, box, difficult)]
    lines: list
    ending: str = "\n"
    refusals: list = field(default_factory=list)
    left_out: list = field(default_factory=list)

    def picture(self):
        return self.free.pop()

    def pick(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def annotation(self, name):
        return self.root / "Annotations" / f"{name}.xml"


def make_case(root, rng, *, count=12):
    make_voc(root, count=count)
    (root / "ImageSets/Main/all.txt").write_text("")
    names = [f"pic{i}" for i in range(count)]
    trees = {name: ElementTree.parse(root / "Annotations" / f"{name}.xml").getroot() for name in names}
    expected = {name: [_object(element) for element in tree.iter("object")] for name, tree in trees.items()}
    return Case(root, rng, [names[i] for i in rng.permutation(count)], trees, expected, list(names))


def _object(element):
    x1, y1, x2, y2 = (float(element.findtext(f"bndbox/{key}")) for key in ("xmin", "ymin", "xmax", "ymax"))
    return element.findtext("name"), (x1 - 1, y1 - 1, x2, y2), False


def _thing(case, name):
    return case.trees[name].find("object")


def _set(element, key, text):
    element.find(key).text = text


# read as they are meant


def no_difficult(case):
    for _ in range(2):
        element = _thing(case, case.picture())
        if case.rng.random() < 0.5:
            element.remove(element.find("difficult"))
        else:
            _set(element, "difficult", case.pick("", "0", "false", " 0 ", "Unspecified", None))


def difficult(case):
    name = case.picture()
    _set(_thing(case, name), "difficult", case.pick("1", "true", " 1 ", "True"))
    first, *rest = case.expected[name]
    case.expected[name] = [(*first[:2], True), *rest]


def names_with_spaces(case):
    element = _thing(case, case.picture())
    _set(element, "name", f"\n  {element.findtext('name')}\t")


def corners_with_points(case):
    element = _thing(case, case.picture())
    for key in ("xmin", "ymin", "xmax", "ymax"):
        _set(element, f"bndbox/{key}", f" {float(element.findtext(f'bndbox/{key}'))} ")


def lines_of_windows(case):
    case.ending = "\r\n"


def empty_lines(case):
    case.lines = [part for line in case.lines for part in ("", line, "   ")]


def labels(case):
    case.lines = [f"{line}{case.pick('  1', ' -1', '  0')}" if line.strip() else line for line in case.lines]


def a_line_twice(case):
    case.lines.append(case.lines[-1])


def large_endings(case):
    name = case.picture()
    path = case.root / "JPEGImages" / f"{name}.jpg"
    path.rename(path.with_suffix(case.pick(".JPG", ".JPEG", ".jpeg", ".Jpg")))


def another_ending(case):
    name = case.picture()
    path = case.root / "JPEGImages" / f"{name}.jpg"
    with Image.open(path) as image:
        image.save(path.with_suffix(".png"))
    path.unlink()


def paths_of_another_machine(case):
    tree = case.trees[case.picture()]
    _set(tree, "filename", case.pick("C:\\data\\", "/home/me/", "other/") + tree.findtext("filename"))


def another_name(case):
    name = case.picture()
    (case.root / "JPEGImages" / f"{name}.jpg").rename(case.root / "JPEGImages" / f"photo of {name}.JPG")
    _set(case.trees[name], "filename", f"photo of {name}.JPG")


def no_size(case):
    tree = case.trees[case.picture()]
    if case.rng.random() < 0.5:
        tree.remove(tree.find("size"))
    else:
        _set(tree, "size/width", case.pick("0", "", None))
    _set(case.trees[case.picture()], "size/height", " 48.0 ")


def hidden_files(case):
    (case.root / "JPEGImages" / "._pic0.jpg").write_bytes(b"\0")
    (case.root / "Annotations" / "._pic0.xml").write_bytes(b"\0")
    (case.root / "ImageSets" / "Main" / "._all.txt").write_bytes(b"\0")


def no_objects(case):
    name = case.picture()
    for element in case.trees[name].findall("object"):
        case.trees[name].remove(element)
    case.expected[name] = []


def more_than_is_needed(case):
    element = _thing(case, case.picture())
    part = ElementTree.SubElement(element, "part")
    ElementTree.SubElement(part, "name").text = "head"
    ElementTree.SubElement(ElementTree.SubElement(part, "bndbox"), "xmin").text = "x"


# one object cannot be used


def a_box_without_area(case):
    name = case.picture()
    element = _thing(case, name)
    x1, x2 = (element.findtext(f"bndbox/{key}") for key in ("xmin", "xmax"))
    low, high = case.pick((x1, x1), (x2, x1), ("nan", x2), (x1, "nan"), ("1e9", "2e9"), ("-9", "-5"), (x1, "inf"))
    _set(element, "bndbox/xmin", low)
    _set(element, "bndbox/xmax", high)
    case.expected[name] = case.expected[name][1:]
    case.left_out.append(rf"{re.escape(str(case.annotation(name)))}, object 1: .*no area")


# the folder cannot be used


def _refused(words):
    def decorate(change):
        def changed(case):
            case.refusals.append(words)
            change(case)

        changed.__name__ = change.__name__
        return changed

    return decorate


@_refused(r"pic\d+\.xml.*a box cannot be read")
def no_number(case):
    element = _thing(case, case.picture())
    if case.rng.random() < 0.3:
        element.remove(element.find("bndbox"))
    else:
        _set(element, "bndbox/ymin", case.pick("", "x", "1,5", None))


@_refused(r"pic\d+\.xml.*difficult: expected 0 or 1")
def difficult_in_part(case):
    _set(_thing(case, case.picture()), "difficult", case.pick("2", "maybe", "-1"))


@_refused(r"pic\d+\.xml.*an object has no name")
def no_name(case):
    element = _thing(case, case.picture())
    _set(element, "name", case.pick("", "  ", None))


@_refused(r"pic\d+\.xml.*(the image size|expected pixels)")
def a_size_that_is_none(case):
    _set(case.trees[case.picture()], "size/width", case.pick("-5", "wide", "nan", "1.5"))


@_refused(r"The annotation file .*gone\.xml does not exist")
def an_annotation_that_is_gone(case):
    case.lines.append("gone")


@_refused(r"There is no image for the annotation pic\d+")
def a_picture_that_is_gone(case):
    (case.root / "JPEGImages" / f"{case.picture()}.jpg").unlink()


@_refused("belong to one image")
def one_picture_for_two(case):
    first, second = case.picture(), case.picture()
    (case.root / "JPEGImages" / f"{first}.jpg").unlink()
    _set(case.trees[first], "filename", f"{second}.jpg")


MEANT = [
    no_difficult, difficult, names_with_spaces, corners_with_points, lines_of_windows, empty_lines, labels, no_size,
    a_line_twice, large_endings, another_ending, paths_of_another_machine, another_name, hidden_files, no_objects,
    more_than_is_needed,
]  # fmt: skip
UNUSABLE = [a_box_without_area]
REFUSED = [
    no_number, difficult_in_part, no_name, a_size_that_is_none, an_annotation_that_is_gone, a_picture_that_is_gone,
    one_picture_for_two,
]  # fmt: skip


def read(case, on_bad):
    """What the reader makes of a case: (class, box, difficult) of each object by the name of the annotation."""
    for name, tree in case.trees.items():
        ElementTree.ElementTree(tree).write(case.annotation(name))
    encoding = case.pick("utf-8", "utf-8-sig")
    content = case.ending.join(case.lines).encode(encoding)
    (case.root / "ImageSets/Main/all.txt").write_bytes(content)
    found = read_voc(case.root, "all", on_bad=on_bad)
    names = list(dict.fromkeys(line.split()[0] for line in case.lines if line.strip()))
    assert len(names) == len(found.records)
    return {
        name: [(found.class_names[t.label - 1], t.box, t.crowd) for t in record.annotations]
        for name, record in zip(names, found.records, strict=True)
    }
