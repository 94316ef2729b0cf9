"""Names of a stranger's files and classes, through every command that prints or writes them."""

import csv
import io
import json
import logging
import re
import warnings

import pytest

from tests.common import calibrated
from tests.hostile import hostile
from tests.images import make_folder
from vig_pyg import cli, vig_micro

STRINGS = hostile(300, seed=1)


def fits(text):
    """Whether it can be the name of a file."""
    return 0 < len(text.encode(errors="replace")) < 200 and "/" not in text and "\0" not in text


def plain(text):
    return all(line.isprintable() for line in text.split("\n"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A model with hostile class names, and hostile names of folders and files: some images, some broken."""
    root = tmp_path_factory.mktemp("stranger")
    names = [text.encode("utf-8", "replace").decode() for text in STRINGS if fits(text)]
    names = [name for name in dict.fromkeys(names) if name not in (".", "..") and not name.startswith(".")]
    classes = names[:12]
    model = calibrated(vig_micro(num_classes=len(classes)))
    model.class_names = classes
    model.save_pretrained(root / "model")
    image = (make_folder(root / "plain", train=0) / "val" / "red" / "0.png").read_bytes()
    for i, name in enumerate(classes):
        folder = root / "labeled" / name
        folder.mkdir(parents=True)
        (folder / "0.png").write_bytes(image)
        (folder / "broken.png").write_bytes(b"\x1b[2J" + bytes([i]))
    pictures = root / "images"
    pictures.mkdir()
    for i, name in enumerate(names[12:60]):
        (pictures / f"{name}.png").write_bytes(image if i % 2 else b"no image")
    return root


QUICK = ["--batch-size", "8", "--num-workers", "0", "--device", "cpu", "--quiet"]


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_tables_hold_text_only(stranger, tmp_path, capsys, command):
    source = stranger / ("images" if command == "predict" else "labeled")
    files = ["--json", str(tmp_path / "a.json"), "--csv", str(tmp_path / "a.csv")]
    assert cli.main([command, str(stranger / "model"), str(source), *files, *QUICK]) == 1
    out, err = capsys.readouterr()
    assert plain(out) and plain(err)
    assert r"\x1b" in out + err  # they are shown, not dropped
    text = (tmp_path / "a.json").read_text()
    assert plain(text)
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert len(rows) > 12
    for cell in (cell for row in rows for cell in row):
        assert cell.isprintable() and not cell.lstrip().startswith(("=", "+", "@", "-"))
    content = json.loads(text)
    if command == "predict":  # JSON has them exactly
        assert {one["path"] for one in content["images"]} <= {str(path) for path in source.iterdir()}


@pytest.mark.parametrize("kind", [ValueError, OSError, ImportError, TypeError])
def test_errors_are_one_line_of_text(monkeypatch, capsys, kind):
    for text in STRINGS[::3]:

        def fail(_, text=text):
            raise kind(text)

        monkeypatch.setattr(cli.models, "run", fail)
        assert cli.main(["models"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.startswith("vig-pyg: ") and err.count("\n") == 1 and plain(err), ascii(text)


def test_warnings_and_the_log_are_lines_of_text(monkeypatch, capsys):
    before = warnings.formatwarning, logging.lastResort

    def warn(_):
        for text in STRINGS:
            logging.getLogger("vig_pyg.test").warning("%s", text)
            with warnings.catch_warnings(action="always"):
                warnings.warn(text, UserWarning, stacklevel=1)

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])  # pytest's own would take the log
    monkeypatch.setattr(warnings, "_showwarnmsg_impl", _printed)
    monkeypatch.setattr(cli.models, "run", warn)
    assert cli.main(["models"]) == 0
    err = capsys.readouterr().err
    assert plain(err) and err.count("\n") == 2 * len(STRINGS)
    assert all(line.startswith("vig-pyg: ") for line in err.splitlines())
    assert (warnings.formatwarning, logging.lastResort) == before


def _printed(message):
    """Python's own, which pytest has exchanged."""
    import sys

    sys.stderr.write(warnings._formatwarnmsg(message))


def test_what_argparse_repeats_is_text(capsys):
    for text in STRINGS[:60]:
        with pytest.raises(SystemExit):
            cli.main(["graph", "run", "image", "--patch", text, f"--{text}"])
        assert plain(capsys.readouterr().err), ascii(text)


def test_the_name_of_a_written_file_is_text(stranger, tmp_path, capsys):
    for text in filter(fits, STRINGS[:40]):
        out = tmp_path / f"{text.encode('utf-8', 'replace').decode()}.pth"
        assert cli.main(["convert", str(stranger / "model" / "model.safetensors"), str(out)]) == 0
        shown, err = capsys.readouterr()
        assert plain(shown) and plain(err) and shown.count("\n") == 1


def test_training_on_a_stranger_s_folders_shows_text(tmp_path, capsys):
    """From the first line to the card and the page; the weights know the names exactly."""
    names = ["$\\frac$", "\x1b[2J\x07", "</script><script>", "| a | `b` |", "\u202egpj", "[x](http://evil.example)"]
    names = [name.replace("/", "\N{DIVISION SLASH}") for name in names]
    image = (make_folder(tmp_path / "plain", train=0) / "val" / "red" / "0.png").read_bytes()
    for part in ("train", "val"):
        for name in names:
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for i in range(2):
                (tmp_path / "data" / part / name / f"{i}\x1b.png").write_bytes(image + bytes([i, len(part)]))
    out = tmp_path / "run"
    quick = ["--epochs", "1", "--batch-size", "4", "--image-size", "32", "--num-workers", "0"]
    assert cli.main(["train", "--data", str(tmp_path / "data"), "--out", str(out), *quick]) == 0
    photo = next((tmp_path / "data" / "val" / names[0]).iterdir())
    assert cli.main(["graph", str(out), str(photo), "--out", str(tmp_path / "graph.html")]) == 0
    shown, err = capsys.readouterr()
    assert plain(shown) and plain(err.replace("\r", "\n"))
    for path in (
        out / "README.md",
        out / "config.json",
        out / "metrics.csv",
        out / "config.yaml",
        tmp_path / "graph.html",
    ):
        assert plain(path.read_text()), path
    card = (out / "README.md").read_text()
    assert not re.search(r"(?<!\\)\]\(http|<script>|(?<!\\)\$", card) and r"\| a \| \`b\` \|" in card
    assert json.loads((out / "config.json").read_text())["class_names"] == sorted(names)
    assert (out / "confusion.png").stat().st_size > 1000
