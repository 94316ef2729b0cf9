import codecs
import csv
import io
import logging
import random
import re
from pathlib import Path

import pytest
from PIL import Image

from vig_pyg.classification import CsvData
from vig_pyg.classification.tables import is_divided, read_part, read_table

LABELS = ("cat", "dog", "Käse")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Twelve images, each another one."""
    root = tmp_path_factory.mktemp("tables")
    for i in range(18):
        path = root / "all images" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path)
    return root


class Made:
    """A table with oddities, and what is expected of it."""

    def __init__(self, root, rng):
        self.root, self.rng = root, rng
        self.head = ["path", "label", "split"]
        self.rows = [
            {"path": f"all images/{i:02}.png", "label": LABELS[i % 3], "split": "val" if i >= 12 else "train"}
            for i in range(18)
        ]
        self.rows[:] = rng.sample(self.rows, len(self.rows))
        #: (file, label, split) of all that is to be read; the split is not known where the table does not say it
        self.want = {(root / row["path"], row["label"], row["split"]) for row in self.rows}
        self.logged, self.refused, self.rewrites, self.options = [], [], [], {}
        self.encoding, self.end, self.first = "utf-8", "\n", ""
        self.divided = True

    def write(self):
        out = io.StringIO()
        writer = csv.writer(out, lineterminator=self.end, **self.options)
        names = [name.strip().casefold() for name in self.head]
        writer.writerows([self.head, *([row[name] for name in names] for row in self.rows)])
        text = self.first + out.getvalue()
        for rewrite in self.rewrites:
            text = rewrite(text)
        mark = {"utf-8-sig": "", "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(self.encoding)
        path = self.root / f"table {self.rng.random()}.csv"
        path.write_bytes((mark or b"") + text.encode(self.encoding))
        return path

    def line(self, row):
        return self.rows.index(row) + 2 + bool(self.first)


def delimiter(made):
    made.options["delimiter"] = made.rng.choice(";\t|")


def encoding(made):
    made.encoding = made.rng.choice(["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
    if made.encoding == "cp1252":
        made.logged.append("not in UTF-8: it is read with the Windows code page 1252")


def line_ends(made):
    made.end = made.rng.choice(["\r\n", "\r"])


def head_in_capitals(made):
    made.head = [made.rng.choice([name.upper(), name.title(), f" {name} "]) for name in made.head]


def columns_moved(made):
    made.rng.shuffle(made.head)


def further_columns(made):
    made.head.insert(made.rng.randrange(3), "Width")
    for row in made.rows:
        row["width"] = "8"
    made.logged.append("additional columns, which are not used: width")


def quoted(made):
    made.options["quoting"] = csv.QUOTE_ALL


def empty_lines(made):
    made.rewrites.append(lambda text: text + made.end + made.options.get("delimiter", ",") * 3 + made.end * 2)


def excels_note(made):
    made.first = f"sep={made.options.get('delimiter', ',')}{made.end}"
    made.rewrites.append(lambda text: f"sep={made.options.get('delimiter', ',')}{text[5:]}")


def spaces(made):
    for row in made.rows[::2]:
        row["label"], row["split"] = f" {row['label']}  ", f"{row['split']} "
        row["path"] += "  "


def backslashes(made):
    for row in made.rows[::2]:
        row["path"] = row["path"].replace("/", "\\")


def absolute(made):
    for row in made.rows[::3]:
        row["path"] = str(made.root / row["path"].strip().replace("\\", "/"))


def spelled(made):
    names = {"train": ["Train", "training", "TRAIN"], "val": ["valid", "Validation", "VAL"]}
    for row in made.rows:
        if row["split"].strip() in names:
            row["split"] = made.rng.choice(names[row["split"].strip()])


def not_divided(made):
    made.head = [name for name in made.head if name.strip().casefold() != "split"]
    made.divided = False
    made.logged.append("a fixed, stratified fifth is used for validation")


def rows_of_tests(made):
    if made.divided:
        row = made.rows[0]
        made.want -= {one for one in made.want if one[0] == _file(made, row)}
        row["split"] = "test"
        made.logged.append("1 row of .* belongs to the split test")


def zeros(made):
    first, second = [row for row in made.rows if row["label"].strip() == "cat"][:2]
    for row, label in ((first, "1"), (second, "01")):
        _relabel(made, row, label)
        for path, held in (
            ("all images/00.png", "train"),
            ("all images/01.png", "val"),
            ("all images/02.png", "train"),
        ):
            made.rows.append({"path": path, "label": label, "split": held, "width": "8"})
            made.want.add((made.root / path, label, held))
    made.logged.append("separate classes whose names are nearly equal: (01 and 1|1 and 01)")
    made.logged.append("contradicts? the label in an earlier row")
    made.logged.append("(is an exact copy|are exact copies) of training images")


def contradiction(made):
    row = made.rows[0]
    other = "dog" if row["label"].strip() != "dog" else "cat"
    made.rows.append({**row, "label": other, "path": row["path"]})
    made.want.add((_file(made, row), other, _split(row)))
    made.logged.append(rf"1 row of .* contradicts the label in an earlier row: .* in row {made.line(row)}")
    made.logged.append("(is an exact copy|are exact copies) of training images")  # where the fifth divides the two


def missing(made):
    row = made.rng.choice(made.rows)
    row["path"] = "all images/none.png"
    made.refused.append(rf"1 of \d+ images of .* does not exist; paths .*: .*none\.png \(row {made.line(row)}\)")


def no_label(made):
    row = made.rng.choice(made.rows)
    row["label"] = "  "
    made.refused.append(rf"Row {made.line(row)} of .* has no label")


def no_path(made):
    row = made.rng.choice(made.rows)
    row["path"] = ""
    made.refused.append(rf"Row {made.line(row)} of .* has no path")


def other_split(made):
    if made.divided:
        row = made.rng.choice(made.rows)
        row["split"] = "perhaps"
        made.refused.append(rf"needs train and val, got .*perhaps.* \(row {made.line(row)}\)")


def long_row(made):
    made.rewrites.append(lambda text: text.rstrip("\r\n") + made.options.get("delimiter", ",") + "more")
    made.refused.append("but the header has")


def open_quote(made):
    d = made.options.get("delimiter", ",")
    made.rewrites.append(lambda text: text + f'"all images/01.png{d}dog{d}train{made.end}x{d}y{d}z{made.end}')
    made.refused.append(r"is not valid CSV after row \d+ \(unexpected end of data\): a quote may be missing")


def rare(made):
    row = made.rng.choice(made.rows)
    _relabel(made, row, "newt")
    row["split"] = "val"
    made.refused.append(
        "no training images for 1 of . classes .newt; the first is in row" if made.divided else "only one image.*newt"
    )


def _file(made, row):
    return made.root / row["path"].strip().replace("\\", "/")


def _split(row):
    return "val" if row["split"].strip().casefold().startswith("val") else "train"


def _relabel(made, row, label):
    made.want -= {one for one in made.want if one[0] == _file(made, row) and one[1] == row["label"].strip()}
    row["label"] = label
    made.want.add((_file(made, row), label, _split(row)))


#: In this order they do not disturb each other.
ODDITIES = (not_divided, delimiter, encoding, line_ends, excels_note, columns_moved, further_columns, head_in_capitals,
            quoted, backslashes, absolute, spelled, rows_of_tests, contradiction, zeros, spaces, empty_lines, rare,
            missing, no_label, no_path, other_split, long_row, open_quote)  # fmt: skip
REFUSED = ODDITIES[-7:]


def make(root, seed):
    rng = random.Random(seed)
    made = Made(root, rng)
    wrong = rng.sample(REFUSED, 1) if seed % 3 == 0 else []
    chosen = {*rng.sample(ODDITIES[:-7], rng.randrange(7)), *wrong}
    if not_divided in chosen:  # rows of a class must be enough to be divided
        chosen -= {zeros, contradiction, rows_of_tests, other_split}
    if rare in chosen or no_path in chosen:
        chosen -= {contradiction, zeros, rows_of_tests}
    if contradiction in chosen:
        chosen -= {zeros}
    if rows_of_tests in chosen:
        chosen -= {contradiction, zeros}
    for oddity in ODDITIES:
        if oddity in chosen:
            oddity(made)
    return made


def test_tables_as_people_have_them(root, caplog):
    counts = {"read": 0, "refused": 0, "logged": 0}
    for seed in range(400):
        made = make(root, seed)
        path = made.write()
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            try:
                split = read_table(path)
                CsvData(path, image_size=8)
            except (ValueError, FileNotFoundError) as error:
                assert any(re.search(pattern, str(error)) for pattern in made.refused), (seed, error)
                counts["refused"] += 1
                continue
        assert not made.refused, seed
        got = {
            (Path(file), split.class_names[label], part)
            for part, samples in (("train", split.train), ("val", split.val))
            for file, label in zip(*samples, strict=True)
        }
        if made.divided:
            assert got == made.want, seed
        else:
            assert {one[:2] for one in got} == {one[:2] for one in made.want}, seed
            assert sum(one[2] == "val" for one in got) == 4
        for pattern in made.logged:
            assert re.search(pattern, caplog.text) or "copies" in pattern, (seed, pattern)
        for line in caplog.text.splitlines():
            expected = [*made.logged, "no validation images of"] if made.logged else []
            assert not line.startswith("WARNING") or any(re.search(p, line) for p in expected), (seed, line)
        counts["read"] += 1
        counts["logged"] += bool(made.logged)
    assert counts["read"] > 200 and counts["refused"] > 100 and counts["logged"] > 100, counts


class TestLabels:
    def write(self, root, labels):
        rows = [f"all images/{i:02}.png,{label},{split}" for i, (label, split) in enumerate(labels)]
        (root / "labels.csv").write_text("\n".join(["path,label,split", *rows]))
        return read_table(root / "labels.csv").class_names

    @pytest.mark.parametrize(
        ("labels", "names"),
        [
            (["10", "9", "1"], ["1", "9", "10"]),
            (["01", "1", "001"], ["001", "01", "1"]),
            (["²", "1"], ["1", "²"]),
            (["b", "a", "B"], ["B", "a", "b"]),
            (["1" * 5000, "2"], ["1" * 5000, "2"]),
            (["cafe\u0301", "caf\u00e9", "b"], ["b", "caf\u00e9"]),
        ],
    )
    def test_the_order_of_the_classes_is_settled(self, root, labels, names):
        rows = [(label, split) for split in ("train", "val") for label in labels]
        assert self.write(root, rows) == names


def test_what_is_no_table_is_refused(tmp_path):
    for content, reason in {
        b"PK\3\4\0\0": "is not a text file: expected a folder of images, or a table saved as CSV",
        b"p\0a\0t\0h\0": "is not a text file",
        b"": r"needs the columns path, label and optionally split, got \[\]",
        b"\xff\xfea": "is not in UTF-16-LE, as its first bytes declare",
        b"path,label,label\na,b,c\n": "has two columns called label",
        b"path,label\n": "has no rows below its header",
        b"path,label\n" + b"a" * 200_000 + b",b\n": "not valid CSV after row 1",
        b'path,label\n"a"b,c\n': "not valid CSV after row 1",
    }.items():
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(ValueError, match=reason):
            read_table(tmp_path / "a.csv")


def test_empty_cells_at_the_end_of_a_row_are_no_cells(root):
    """Spreadsheets write them where another row was longer once."""
    rows = [f"all images/{i:02}.png,{LABELS[i % 3]},{'val' if i > 11 else 'train'}{',' * (i % 4)}" for i in range(18)]
    (root / "ends.csv").write_text("\n".join(["path,label,split", *rows]))
    split = read_table(root / "ends.csv")
    assert (len(split.train[0]), len(split.val[0])) == (12, 6)
    (root / "ends.csv").write_text("\n".join(["path,label,split", *rows, "all images/00.png,cat,train,,x"]))
    with pytest.raises(ValueError, match=r"Row 20 of .*ends\.csv has 5 cells, but the header has 3 columns"):
        read_table(root / "ends.csv")


def test_the_first_of_several_contradictions_is_told(root, caplog):
    rows = [f"all images/{i:02}.png,{LABELS[i % 3]},{'val' if i > 11 else 'train'}" for i in range(18)]
    rows += ["all images/04.png,cat,train", "all images/05.png,cat,train"]
    (root / "twice.csv").write_text("\n".join(["path,label,split", *rows]))
    with caplog.at_level(logging.WARNING):
        read_table(root / "twice.csv")
    assert re.search(
        r"2 rows of .* an earlier row: \S*all images/04\.png is dog in row 6 and cat in row 20", caplog.text
    )


def test_missing_images_are_left_out_where_broken_ones_are(tmp_path, caplog):
    for i in range(6):
        Image.new("L", (8, 8), i).save(tmp_path / f"{i}.png")
    rows = [f"{i}.png,{i % 2},{'val' if i > 3 else 'train'}" for i in range(6)]
    (tmp_path / "a.csv").write_text("\n".join(["path,label,split", *rows, "none.png,0,train"]))
    with pytest.raises(
        FileNotFoundError, match=r"1 of 7 images of .*a\.csv does not exist; paths .*: .*none\.png \(row 8\)"
    ):
        CsvData(tmp_path / "a.csv")
    with caplog.at_level(logging.WARNING):
        assert len(CsvData(tmp_path / "a.csv", image_size=8, on_bad="drop").train_set) == 4
    assert re.search(r"1 of 7 images is left out: .*none\.png: there is no such image\.", caplog.text)


@pytest.mark.parametrize("seed", range(20))
def test_the_part_to_evaluate_is_one_that_the_table_has(root, seed, caplog):
    rng = random.Random(seed)
    spelled = {"train": ["train", "Training"], "val": ["val", "validation"], "test": ["test", "Test set"]}
    there = rng.sample(list(spelled), rng.randint(1, 3))
    names = [*there, *rng.choices(there, k=9)]
    rows = [f"all images/{i:02}.png,{LABELS[i % 3]},{rng.choice(spelled[name])}" for i, name in enumerate(names)]
    table = root / f"parts {seed}.csv"
    table.write_text("\n".join(["path,label,split", *rows]))
    for part in (None, *spelled, "testing", "other"):
        wanted = {None: "test" if there == ["test"] else "val", "testing": "test"}.get(part, part)
        if wanted not in there:
            listed = " and ".join(repr(name) for name in spelled if name in there)
            with pytest.raises(ValueError, match=f"has no part '{part or wanted}'; it has {listed}"):
                read_part(table, part, whole=seed % 2 == 0)
            continue
        classes, (paths, labels) = read_part(table, part, whole=seed % 2 == 0)
        want = [(f"{i:02}.png", LABELS[i % 3]) for i, name in enumerate(names) if name == wanted]
        assert [(Path(path).name, classes[label]) for path, label in zip(paths, labels, strict=True)] == want
    assert not caplog.text and is_divided(table)


@pytest.mark.parametrize("count", [1, 5, 18])
def test_a_table_without_parts_is_read_whole_or_as_in_training(root, count):
    table = root / f"whole {count}.csv"
    labels = [LABELS[i % 3] if count == 18 else LABELS[i] if i < 3 else "cat" for i in range(count)]
    table.write_text("\n".join(["path,label", *(f"all images/{i:02}.png,{one}" for i, one in enumerate(labels))]))
    classes, (paths, numbers) = read_part(table, None, whole=True)
    assert [classes[number] for number in numbers] == labels and len(set(paths)) == count and not is_divided(table)
    with pytest.raises(ValueError, match="has no part 'test', because it has no column split; it has 'train' and"):
        read_part(table, "test", whole=True)
    if count == 18:
        split = read_table(table)
        assert read_part(table, None, whole=False)[1] == read_part(table, "val", whole=True)[1] == split.val
        assert read_part(table, "train", whole=True)[1] == split.train


@pytest.mark.parametrize("wrong", ["", "vla", "train val"])
def test_a_row_of_no_part_is_named_in_evaluation_too(root, wrong):
    (root / "none.csv").write_text(f"path,label,split\nall images/00.png,cat,val\nall images/01.png,cat,{wrong}\n")
    with pytest.raises(ValueError, match=r"The column split of .*none\.csv needs train and val, got .* \(row 3\)"):
        read_part(root / "none.csv", "val", whole=True)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            ("train", "test"),
            "write val in about a fifth of the rows, or in those of test, which training does not use, or",
        ),
        (
            ("train", "train"),
            "write val in about a fifth of the rows, or leave out the column: then a fixed fifth of all",
        ),
        (
            ("test", "val"),
            "write train in the rows to learn from, or in those of test, which training does not use, or ",
        ),
        (
            ("val", "val"),
            "write train in the rows to learn from, or leave out the column: then a fixed fifth of all im",
        ),
    ],
)
def test_what_makes_up_for_a_part_that_training_needs_is_told(root, parts, words):
    rows = [
        f"all images/{i:02}.png,{name},{part}" for i, (part, name) in enumerate(zip(parts * 2, "aabb", strict=True))
    ]
    (root / "part.csv").write_text("\n".join(["path,label,split", *rows]))
    with pytest.raises(ValueError, match=r"The column split of .* needs train and val, got") as error:
        read_table(root / "part.csv")
    assert words in str(error.value)
    without = [row.rpartition(",")[0] for row in ("path,label,split", *rows)]
    (root / "part.csv").write_text("\n".join(without))
    assert len(read_table(root / "part.csv").val[0]) == 2
