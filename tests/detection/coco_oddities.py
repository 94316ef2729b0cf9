"""COCO files as people have them: changes of a sound file, and what must come of each.

A change takes a `Case` and edits its content; what should be read stands in `case.expected`, what makes the file
unusable in `case.refusals`, and what makes one object unusable in `case.left_out` (regular expressions of messages).
"""

import json
import re
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from tests.detection.scenes import make_coco
from vig_pyg.detection.coco import read_coco

NAN, INF = float("nan"), float("inf")


@dataclass
class Case:
    path: object
    content: dict
    rng: object
    free: list
    expected: dict  # annotation number: (file, class, box, crowd)
    classes: list
    refusals: list = field(default_factory=list)
    left_out: list = field(default_factory=list)
    encoding: str = "utf-8"

    def annotation(self):
        """One that no other change has touched."""
        return self.free.pop()

    def pick(self, *values):
        return values[int(self.rng.integers(len(values)))]


def make_case(root, rng, *, count=4):
    path = make_coco(root, count=count, seed=int(rng.integers(1000)))
    content = json.loads(path.read_text())
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    files = {entry["id"]: entry["file_name"] for entry in content["images"]}
    expected = {}
    for entry in content["annotations"]:
        x, y, w, h = entry["bbox"]
        expected[entry["id"]] = (files[entry["image_id"]], names[entry["category_id"]], (x, y, x + w, y + h), False)
    free = [content["annotations"][i] for i in rng.permutation(len(content["annotations"]))]
    return Case(path, content, rng, free, expected, ["blue", "red"])


# read as they are meant


def ids_as_text(case):
    for entry in case.content["images"] + case.content["categories"]:
        entry["id"] = f"00{entry['id']}"
    for entry in case.content["annotations"]:
        entry["image_id"], entry["category_id"] = str(entry["image_id"]), f" {entry['category_id']}"


def ids_as_floats(case):
    for entry in case.content["images"]:
        entry["id"] = float(entry["id"])


def paths_of_another_machine(case):
    for entry in case.content["images"]:
        before = case.pick("images\\", ".\\", "C:\\Users\\me\\images\\", "/home/me/images/", "images/", "")
        entry["file_name"] = before + entry["file_name"]


def no_crowd(case):
    for _ in range(2):
        case.annotation()["iscrowd"] = case.pick(0, 0.0, False, "0", "false", "False", "", None)
    case.annotation().pop("iscrowd")


def a_crowd(case):
    entry = case.annotation()
    entry["iscrowd"] = case.pick(1, True, "1", "true", "True")
    if case.rng.random() < 0.5:
        entry["segmentation"] = case.pick([], None)  # then it fills its box
    file, name, box, _ = case.expected[entry["id"]]
    case.expected[entry["id"]] = (file, name, box, True)


def categories_in_another_order(case):
    case.content["categories"].reverse()


def a_category_nobody_has(case):
    case.content["categories"].append({"id": 9, "name": "green"})
    case.classes = ["blue", "red", "green"]


def a_name_with_spaces(case):
    for entry in case.content["categories"]:
        entry["name"] = f" {entry['name']}  "


def a_second_category_of_one_name(case):
    case.content["categories"].append({"id": case.pick(1, 8), "name": "red"})


def box_from_the_outline(case):
    entry = case.annotation()
    entry["bbox"] = case.pick(None, [])
    if case.rng.random() < 0.5:
        del entry["bbox"]


def box_as_text(case):
    entry = case.annotation()
    entry["bbox"] = [str(number) for number in entry["bbox"]]


def box_beyond_the_image(case):
    entry = case.annotation()
    file, name, (x1, y1, *_), crowd = case.expected[entry["id"]]
    # the size may be text by now, or missing: the file has it
    with Image.open(case.path.parent / "images" / file) as picture:
        width, height = picture.size
    entry["bbox"] = [x1, y1, 1e6, 1e6]
    case.expected[entry["id"]] = (file, name, (x1, y1, width, height), crowd)


def no_area(case):
    case.annotation()["area"] = case.pick(None, "", "12.5")
    case.annotation().pop("area")


def sizes(case):
    for entry in case.content["images"]:
        kind = case.pick("text", "float", "none", "zero", "absent")
        for key in ("width", "height"):
            entry[key] = {"text": str(entry[key]), "float": float(entry[key]), "none": None, "zero": 0}.get(kind)
            if kind == "absent":
                del entry[key]


def other_encodings(case):
    case.encoding = case.pick("utf-8-sig", "utf-16", "utf-32")


def more_than_is_needed(case):
    case.content |= {"info": None, "licenses": [{"id": 1}], "type": "instances"}
    for entry in case.content["images"] + case.content["annotations"]:
        entry |= {"license": None, "attributes": {"occluded": False}}


def files_that_are_not_listed(case):
    for name in ("._0.png", "Thumbs.db", "more.png"):
        (case.path.parent / "images" / name).write_bytes(b"\0")


def an_image_without_objects(case):
    Image.new("RGB", (30, 20)).save(case.path.parent / "images" / "nothing.png")
    case.content["images"].append({"id": 5000, "file_name": "nothing.png", "height": 20, "width": 30})


def no_number_of_its_own(case):
    case.annotation().pop("id")
    case.annotation()["id"] = case.pick("a1", None, [1])


def all_forms_of_outlines(case):
    for entry in (case.annotation(), case.annotation()):
        (flat,) = entry["segmentation"]
        pairs = np.array(flat).reshape(-1, 2).tolist()
        entry["segmentation"] = case.pick(flat, pairs, [pairs], [flat, []], [[str(number) for number in flat]])


# one object cannot be used


def _left_out(case, entry, words):
    file = case.expected.pop(entry["id"])[0]
    case.left_out.append(rf"{re.escape(case.path.name)}.*{re.escape(file)}, annotation {entry['id']}\b.*{words}")


def a_box_without_area(case):
    entry = case.annotation()
    x, y, w, h = entry["bbox"]
    entry["bbox"] = case.pick(
        [x, y, 0, h], [x, y, w, -h], [x, y, -1, -1], [NAN, y, w, h], [x, y, INF, h], [1e6, y, w, h]
    )
    _left_out(case, entry, "no area")


def a_box_of_words(case):
    entry = case.annotation()
    entry["bbox"] = case.pick([None, 1, 2, 3], ["x", 1, 2, 3], [[], 1, 2, 3], [1, True, 2, 3])
    _left_out(case, entry, "expected a number")


def neither_box_nor_a_sound_outline(case):
    entry = case.annotation()
    entry["bbox"] = None
    entry["segmentation"] = case.pick(
        [1, 2, 3, 4], [[None] * 6], [[NAN] * 6], {"size": [1, 1], "counts": "x"}, "x", [[]]
    )
    _left_out(case, entry, "outline cannot be used")


# the file cannot be used


def _refused(*words):
    def decorate(change):
        def changed(case):
            change(case)
            case.refusals.append("|".join(words))

        changed.__name__ = change.__name__
        return changed

    return decorate


@_refused("images that|image ids that appear twice")
def an_image_twice(case):
    case.content["images"].append(dict(case.content["images"][0]))


@_refused("images that appear twice")
def a_file_twice(case):
    case.content["images"].append({**case.content["images"][0], "id": 777})


@_refused("1 images of .*0.png|gone.png")
def a_file_that_is_gone(case):
    case.content["images"].append({"id": 888, "file_name": "gone.png", "width": 5, "height": 5})


@_refused("which is not in the file")
def an_unknown_number(case):
    case.annotation()[case.pick("image_id", "category_id")] = 404


@_refused("expected a (whole )?number")
def a_number_that_is_none(case):
    case.annotation()[case.pick("image_id", "category_id")] = case.pick(None, "x", 1.5, [], True, NAN, 10**30)


@_refused("iscrowd: expected 0 or 1")
def a_crowd_of_two(case):
    case.annotation()["iscrowd"] = case.pick(2, "maybe", [], -1, NAN)


@_refused("expected a name")
def no_name(case):
    case.pick(case.content["categories"], case.content["images"])[0] |= {"name": case.pick(None, "", " ", [], True)}
    case.content["images"][-1]["file_name"] = case.pick(None, "", "a\0b", {})


@_refused("has two names")
def two_names(case):
    first = case.content["categories"][0]
    case.content["categories"].append({"id": first["id"], "name": "green"})


@_refused("both called")
def one_name_twice(case):
    for entry in case.content["categories"]:
        entry["name"] = "thing"
    for entry, one in zip((case.annotation(), case.annotation()), case.content["categories"], strict=False):
        entry["category_id"] = one["id"]


@_refused("the image size|expected pixels")
def a_size_that_is_none(case):
    case.content["images"][0] |= {"width": case.pick(-5, "wide", NAN, 1.5, [2]), "height": 10}


@_refused("not enough values|list of four numbers")
def no_box_at_all(case):
    case.annotation()["bbox"] = case.pick([1, 2], [1, 2, 3, 4, 5], "1 2 3 4", 7, {"x": 1})


@_refused("neither bbox nor segmentation")
def nothing_at_all(case):
    entry = case.annotation()
    entry["bbox"] = entry["segmentation"] = case.pick(None, [])


@_refused("area: expected")
def an_area_that_is_none(case):
    case.annotation()["area"] = case.pick("big", NAN, -3, [], True)


@_refused(r"annotations\[\d+\] is|categories\[\d+\] is|images\[\d+\] is|has no list")
def no_entries(case):
    key = case.pick("annotations", "categories", "images")
    if case.rng.random() < 0.5:
        case.content[key].append(case.pick(None, 5, "x", []))
    else:
        case.content[key] = case.pick(None, {}, "x", 3)


MEANT = [
    ids_as_text, ids_as_floats, paths_of_another_machine, no_crowd, a_crowd, categories_in_another_order, no_area,
    sizes, a_category_nobody_has, a_name_with_spaces, a_second_category_of_one_name, box_from_the_outline, box_as_text,
    box_beyond_the_image, other_encodings, more_than_is_needed, files_that_are_not_listed, an_image_without_objects,
    no_number_of_its_own, all_forms_of_outlines,
]  # fmt: skip
UNUSABLE = [a_box_without_area, a_box_of_words, neither_box_nor_a_sound_outline]
REFUSED = [
    an_image_twice, a_file_twice, a_file_that_is_gone, an_unknown_number, a_number_that_is_none, a_crowd_of_two,
    no_name, two_names, one_name_twice, a_size_that_is_none, no_box_at_all, nothing_at_all, an_area_that_is_none,
    no_entries,
]  # fmt: skip


def read(case, on_bad):
    """What the reader makes of a case: (file, class, box, crowd) of each object, sorted, and the classes."""
    case.path.write_text(json.dumps(case.content), encoding=case.encoding)
    found = read_coco(case.path, on_bad=on_bad)
    objects = [
        (record.path.name, found.class_names[thing.label - 1], thing.box, thing.crowd)
        for record in found.records
        for thing in record.annotations
    ]
    return found, sorted(objects)
