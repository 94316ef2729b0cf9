import sys

import pytest

from vig_pyg.timm.__main__ import main


@pytest.fixture(autouse=True)
def same_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))


def test_a_script_runs_as_python_runs_it(tmp_path, capsys):
    (tmp_path / "beside.py").write_text("NAME = 'vig_micro'\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, timm\nfrom beside import NAME\n"
        "if __name__ == '__main__': print(type(timm.create_model(NAME)).__name__, sys.argv[1:])\n"
    )
    main([str(script), "--lr", "1"])
    assert capsys.readouterr().out == "TimmViG ['--lr', '1']\n"


@pytest.mark.parametrize("arguments", [[], ["nothing.py"], ["."]])
def test_no_script_is_said(arguments):
    with pytest.raises(SystemExit, match=r"python -m vig_pyg\.timm SCRIPT"):
        main(arguments)
