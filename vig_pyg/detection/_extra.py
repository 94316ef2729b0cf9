"""The packages of the extras `train`, `plot` and `detection`, or a word on how to get them."""

from importlib.util import find_spec

from vig_pyg.engine._requirements import require as require_training

_INSTALL = 'pip install "vig-pyg[train,plot,detection]".'


def require() -> None:
    """Raise `ImportError` with the command that installs what training needs and is missing."""
    require_data()
    if find_spec("matplotlib") is None:
        raise ImportError(f"The curves of a run need matplotlib: {_INSTALL}")


def require_data() -> None:
    """Raise `ImportError` with the command that installs what evaluation and prediction need and is missing."""
    if find_spec("pycocotools") is None:
        raise ImportError(f"Data and AP of detection need pycocotools: {_INSTALL}")
    require_training()
