"""Loading of the images that a configuration names."""

from __future__ import annotations

from pathlib import Path

from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.sources import SOURCES, CsvData, FolderData, make_source


def load_data(config: ClassificationConfig) -> ImageData:
    """Load the images that a configuration names.

    Args:
        config: The configuration of the data, its preprocessing and its augmentation.

    Raises:
        FileNotFoundError: If a folder or file does not exist.
        ValueError: If the data is not in the expected form, or a value does not fit the data.

    Example:
        >>> from vig_pyg.classification.presets import PRESETS
        >>> load_data(PRESETS["digits"]).title
        'digits'
    """
    names = ("image_size", "in_channels", "crop_pct", "batch_size", "num_workers", "augmentation", "on_broken", "cache")
    values = {name: getattr(config, name) for name in names}
    if config.data in SOURCES:
        return make_source(config.data, {**values, "root": config.root})
    path = Path(config.data)
    is_table = not path.is_dir() and (path.exists() or path.suffix.lower() in (".csv", ".tsv"))
    return CsvData(path, **values) if is_table else FolderData(path, **values)
