"""Loading of the images that a configuration names."""

from __future__ import annotations

from pathlib import Path

from vig_pyg._io.suggest import did_you_mean
from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.readers import reader_prefix
from vig_pyg.classification.readers.streams import readable_prefixes
from vig_pyg.classification.sources import SOURCES, CollectionData, CsvData, FolderData, make_source
from vig_pyg.config import MODELS, variant_config
from vig_pyg.interchange import statistics_of

#: Values that only data with a prefix has.
_OF_READERS = ("train_split", "val_split", "input_key", "target_key")


def load_data(config: ClassificationConfig, *, download: bool = True) -> ImageData:
    """Load the images that a configuration names.

    Args:
        config: The configuration of the data, its preprocessing and its augmentation.
        download: If false, data of a reader (`hfds/...`, `torch/...`) that is not on this computer raises an error.

    Raises:
        FileNotFoundError: If a folder or file does not exist.
        ValueError: If the data is not in the expected form, or a value does not fit the data.

    Example:
        >>> from vig_pyg.classification.presets import PRESETS
        >>> load_data(PRESETS["digits"]).title
        'digits'
    """
    data = _open(config, download)
    usual = own = (data.preprocessing.mean, data.preprocessing.std)
    if own == (0.5, 0.5) and config.model in MODELS:  # otherwise the source has its own
        usual = statistics_of(variant_config(config.model), config.in_channels)
    if config.mean is not None or config.std is not None or usual != own:
        data.normalize(
            *(one if given is None else given for given, one in zip((config.mean, config.std), usual, strict=True))
        )
    return data


def _open(config: ClassificationConfig, download: bool) -> ImageData:
    """Open the images, with the usual normalization of their source."""
    names = ("image_size", "in_channels", "crop_pct", "batch_size", "num_workers", "augmentation", "on_bad", "cache")
    values = {name: getattr(config, name) for name in names}
    if config.data not in SOURCES and reader_prefix(config.data):
        values |= {name: getattr(config, name) for name in _OF_READERS}
        return CollectionData(config.data, root=config.root, download=download, **values)
    idle = [name for name in _OF_READERS if getattr(config, name) is not None]
    if idle:
        own = " Training uses its folders train/ and val/." if Path(config.data).is_dir() else ""
        raise ValueError(
            f"{idle[0]} applies only to data with the prefix {readable_prefixes()}, got "
            f"{getattr(config, idle[0])} for data={config.data}: leave it out.{own}"
        )
    if config.data in SOURCES:
        return make_source(config.data, {**values, "root": config.root})
    path = Path(config.data)
    is_table = not path.is_dir() and (path.exists() or path.suffix.lower() in (".csv", ".tsv"))
    if not is_table and not path.exists():
        hint = did_you_mean(config.data, names=SOURCES.names())
        raise FileNotFoundError(f"The data folder {path} does not exist.{hint}")
    return CsvData(path, **values) if is_table else FolderData(path, **values)
