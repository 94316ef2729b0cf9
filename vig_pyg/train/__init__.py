"""Training, and the folder that a run leaves behind. Needs the extra `train`."""

from vig_pyg.train._extra import require

require()

from vig_pyg.preprocess import Preprocessing  # noqa: E402
from vig_pyg.train.augment import Augmentation  # noqa: E402
from vig_pyg.train.config import read_yaml, settings, to_yaml  # noqa: E402
from vig_pyg.train.data import ImageData  # noqa: E402
from vig_pyg.train.fit import fit  # noqa: E402
from vig_pyg.train.loading import load_data  # noqa: E402
from vig_pyg.train.recipe import PRESETS, Recipe, Settings  # noqa: E402
from vig_pyg.train.run_folder import Run, load_run  # noqa: E402
from vig_pyg.train.sources import CifarData, CsvData, DigitsData, FolderData  # noqa: E402
from vig_pyg.train.stopping import Stopped  # noqa: E402

__all__ = [
    "PRESETS",
    "Augmentation",
    "CifarData",
    "CsvData",
    "DigitsData",
    "FolderData",
    "ImageData",
    "Preprocessing",
    "Recipe",
    "Run",
    "Settings",
    "Stopped",
    "fit",
    "load_data",
    "load_run",
    "read_yaml",
    "settings",
    "to_yaml",
]
