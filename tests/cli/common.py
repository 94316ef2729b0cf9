"""What tests of commands share."""

from vig_pyg.cli import main

QUICK = ["--epochs", "1", "--batch-size", "4", "--image-size", "32", "--num-workers", "0", "--quiet"]


def fails(capsys, *argv):
    """The one line that a command prints for a mistake of the user."""
    status = main([str(arg) for arg in argv])
    err = capsys.readouterr().err
    assert status == 2
    assert err.startswith("vig-pyg: ")
    assert err.count("\n") == 1
    return err
