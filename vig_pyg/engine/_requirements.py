"""The packages of the extra `train`, or a word on how to get them."""

from importlib.util import find_spec


def require() -> None:
    """Raise `ImportError` with the command that installs what is missing."""
    missing = [
        name
        for name in ("lightning", "torchmetrics", "sklearn", "safetensors", "timm", "yaml", "rich")
        if find_spec(name) is None
    ]
    if missing:
        raise ImportError(f'Training needs {", ".join(missing)}: pip install "vig-pyg[train,plot]".')
