"""Training, and the folder that a run leaves behind. Needs the extra `train`."""

from vig_pyg.train._extra import require

require()

from vig_pyg.preprocess import Preprocessing  # noqa: E402
from vig_pyg.train.data import DigitsData, FolderData, ImageData  # noqa: E402
from vig_pyg.train.fit import Recipe, fit  # noqa: E402
from vig_pyg.train.run_folder import Run, load_run, new_run_folder  # noqa: E402

__all__ = [
    "DigitsData",
    "FolderData",
    "ImageData",
    "Preprocessing",
    "Recipe",
    "Run",
    "fit",
    "load_run",
    "new_run_folder",
]
