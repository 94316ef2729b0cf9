"""The packages of the extras `train` and `detection`, or a word on how to get them."""

from importlib.util import find_spec

from vig_pyg.train._extra import require as require_training


def require() -> None:
    """Raise `ImportError` with the command that installs what is missing."""
    if find_spec("pycocotools") is None:
        raise ImportError('Data and AP of detection need pycocotools: pip install "vig-pyg[train,plot,detection]".')
    require_training()
