import numpy as np
import pytest
from PIL import Image

from tests.cli.common import fails
from vig_pyg.cli import main


def test_predict_prints_classes_with_probabilities(trained, capsys):
    run, pictures = trained
    images = [pictures / "val" / name / "0.png" for name in ("blue", "red")]
    assert main(["predict", str(run), *map(str, images)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    for line, image in zip(lines, images, strict=True):
        assert line.startswith(str(image))
        shares = [float(word) for word in line.split() if word.replace(".", "").isdigit()]
        assert sum(shares) == pytest.approx(100, abs=0.2)
        assert shares == sorted(shares, reverse=True)


def test_grey_and_transparent_pictures_are_converted(trained, tmp_path):
    run, _ = trained
    paths = []
    for mode in ("L", "RGBA", "P"):
        paths.append(tmp_path / f"{mode}.png")
        Image.fromarray(np.full((50, 40), 99, dtype=np.uint8)).convert(mode).save(paths[-1])
    assert main(["predict", str(run), *map(str, paths)]) == 0


def test_predict_names_what_is_wrong(trained, tmp_path, capsys):
    run, pictures = trained
    image = pictures / "val" / "red" / "0.png"
    assert "is not a run folder" in fails(capsys, "predict", tmp_path, image)
    assert "There is no picture at" in fails(capsys, "predict", run, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("text")
    assert "text.png cannot be read as a picture" in fails(capsys, "predict", run, tmp_path / "text.png")
    assert "--topk" in fails(capsys, "predict", run, image, "--topk", "0")
    with pytest.raises(FileNotFoundError):
        main(["--debug", "predict", str(tmp_path), str(image)])
