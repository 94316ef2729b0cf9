"""Loading of the data that settings name."""

from __future__ import annotations

from pathlib import Path

from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.sources import SOURCES, CsvData, FolderData, make_source


def load_data(settings: ClassificationConfig) -> ImageData:
    """Load the images that settings name.

    Args:
        settings: Names the data, its preprocessing and its augmentation.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If it is not as expected, or a value does not go with the data.

    Example:
        >>> from vig_pyg.classification.presets import PRESETS
        >>> load_data(PRESETS["digits"]).title
        'digits'
    """
    names = ("image_size", "in_channels", "crop_pct", "batch_size", "num_workers", "augmentation", "on_broken", "cache")
    values = {name: getattr(settings, name) for name in names}
    if settings.data in SOURCES:
        return make_source(settings.data, {**values, "root": settings.root})
    path = Path(settings.data)
    is_table = not path.is_dir() and (path.exists() or path.suffix.lower() in (".csv", ".tsv"))
    return CsvData(path, **values) if is_table else FolderData(path, **values)
