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
