from vig_pyg import list_models
from vig_pyg.cli import main


def test_models_prints_the_measured_table(capsys):
    assert main(["models"]) == 0
    rows = {line.split()[0]: line.split()[1:3] for line in capsys.readouterr().out.splitlines()}
    assert rows["pvig_small"] == ["27.252", "4.548"]
    assert rows["vig_tiny"] == ["7.185", "1.301"]
    assert rows["greedyvig_small"] == ["11.214", "1.580"] and rows["wignet_tiny"] == ["10.760", "2.086"]
    assert rows.keys() == {"model", *list_models()}
