import subprocess
import sys

import pytest

from tests.cli.common import fails
from vig_pyg import cli


@pytest.mark.parametrize("argv", [["--help"], ["train", "--help"], ["--version"]])
def test_help_is_printed(argv):
    code = f"import sys\nsys.argv = ['vig-pyg', *{argv!r}]\n"
    code += "try:\n    from vig_pyg.cli import main; main()\nexcept SystemExit as e: assert e.code == 0"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to ..."),
    ],
)
def test_too_little_memory_is_told(monkeypatch, capsys, error):
    def fail(_):
        raise error

    monkeypatch.setattr(cli.models, "run", fail)
    assert "not enough memory: try a smaller --batch-size or --image-size" in fails(capsys, "models")
    with pytest.raises(type(error)):
        cli.main(["--debug", "models"])


def test_a_full_disk_behind_what_is_printed_is_told(monkeypatch, capsys):
    monkeypatch.setattr(cli.models, "run", lambda _: print("a table"))
    with open("/dev/full", "w") as full, monkeypatch.context() as context:
        context.setattr(sys, "stdout", full)
        assert "The output cannot be printed (No space left on device)" in fails(capsys, "models")


def test_nothing_is_printed_where_a_shell_has_closed_the_output(monkeypatch):
    monkeypatch.setattr(cli.models, "run", lambda _: print("a table"))
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["models"]) == 0


def test_our_own_faults_are_not_hidden(monkeypatch):
    def fail(_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli.models, "run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["models"])


def test_ctrl_c_is_no_traceback(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.models, "run", stop)
    assert cli.main(["models"]) == 130
    assert capsys.readouterr().err.startswith("vig-pyg: stopped")


#: Wrong command lines, and those that only tell something: none of them needs torch.
LIGHT = [
    [],
    ["--help"],
    ["--versio"],
    ["trian"],
    *([*names, "--help"] for names in (["predict"], ["evaluate"], ["graph"], ["models"], ["convert"], ["doctor"])),
    *([*names, "--help"] for names in (["completion"], ["detect"], ["segment"], ["detect", "predict"])),
    *([*names, "--epocs", "3"] for names in (["train"], ["ablate"], ["detect", "train"], ["segment", "train"])),
    *([*names, "--epochs", "x"] for names in (["train"], ["ablate"], ["detect", "train"], ["segment", "train"])),
    ["train", "--augmentation.flip", "2"],
    ["train", "--preset", "imagent"],
    ["train", "epochs"],
    ["ablate", "--seed"],
    ["detect", "train", "--preset", "2x"],
    ["detect", "train", "--train", "a.json"],
    ["segment", "train", "--val", "a"],
    ["predict", "pvig_tiny"],
    ["predict", "pvig_tiny", "a.jpg", "--batchsize", "2"],
    ["evaluate", "--topk"],
]
#: What takes long to import.
HEAVY = {"torch", "torch_geometric", "torchvision", "lightning", "timm", "torchmetrics", "matplotlib", "sklearn",
         "scipy", "numpy", "PIL", "pandas", "pycocotools", "huggingface_hub", "networkx"}  # fmt: skip


def test_wrong_options_and_help_import_nothing_heavy():
    code = (
        "import contextlib, io, sys\n"
        "from vig_pyg.cli import main\n"
        f"for argv in {LIGHT!r}:\n"
        "    text = io.StringIO()\n"
        "    both = contextlib.redirect_stdout(text), contextlib.redirect_stderr(text)\n"
        "    with both[0], both[1], contextlib.suppress(SystemExit):\n"
        "        main(argv)\n"
        f"    heavy = {HEAVY!r} & set(sys.modules)\n"
        "    assert text.getvalue() and not heavy, (argv, heavy, text.getvalue())\n"
        "with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):\n"
        "    main(['train', '--help'])  # it lists the operators and graphs\n"
        "assert 'reversed' in text.getvalue()\n"
        "heavy = {'lightning', 'torchvision', 'torchmetrics', 'matplotlib', 'timm', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
