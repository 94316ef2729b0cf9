from tests.cli.common import fails
from vig_pyg.cli import main


def test_graph_draws_and_does_not_overwrite(trained, capsys, tmp_path):
    run, pictures = trained
    image, out = pictures / "val" / "red" / "0.png", tmp_path / "graph.png"
    assert main(["graph", str(run), str(image), "--out", str(out), "--patch", "0.1,0.9"]) == 0
    first = out.read_bytes()
    assert "not overwritten" in fails(capsys, "graph", run, image, "--out", out)
    assert out.read_bytes() == first
    assert "place" in fails(capsys, "graph", run, image, "--out", tmp_path / "b.png", "--patch", "1.5,0")


def test_graph_writes_a_page_and_does_not_overwrite(trained, capsys, tmp_path):
    run, pictures = trained
    image, out = pictures / "val" / "red" / "0.png", tmp_path / "graph.HTML"
    assert main(["graph", str(run), str(image), "--out", str(out), "--patch", "0.1,0.9"]) == 0
    first = out.read_text()
    assert first.startswith("<!DOCTYPE html>")
    assert "<h1>0.png</h1>" in first
    assert '"patch":[0.1,0.9]' in first
    assert "not overwritten" in fails(capsys, "graph", run, image, "--out", out)
    assert out.read_text() == first
    assert "place" in fails(capsys, "graph", run, image, "--out", tmp_path / "b.html", "--patch", "1.5,0")
    assert "make it first" in fails(capsys, "graph", run, image, "--out", tmp_path / "nowhere" / "b.html")
    assert [path.name for path in tmp_path.iterdir()] == ["graph.HTML"]
