"""The data of settings."""

from __future__ import annotations

from pathlib import Path

from vig_pyg.classification.config import ClassificationConfig
from vig_pyg.classification.data import ImageData
from vig_pyg.classification.sources import CifarData, CsvData, DigitsData, FolderData


def load_data(settings: ClassificationConfig) -> ImageData:
    """The images that settings name.

    Args:
        settings: Which data, and how it is prepared and augmented.

    Raises:
        FileNotFoundError: If there is no such folder or file.
        ValueError: If it is not as expected, or a value does not go with the data.

    Example:
        >>> from vig_pyg.classification.presets import PRESETS
        >>> load_data(PRESETS["digits"]).title
        'digits'
    """
    s = settings
    channels = {"digits": 1, "cifar10": 3, "cifar100": 3}.get(s.data)
    if channels is not None:
        if s.in_channels != channels or s.cache is not None or s.crop_pct != 1:
            raise ValueError(
                f"{s.data} has in_channels={channels}, no files to cache and nothing to crop: got "
                f"in_channels={s.in_channels}, cache={s.cache}, crop_pct={s.crop_pct}."
            )
        if s.data == "digits":
            return DigitsData(
                image_size=s.image_size,
                batch_size=s.batch_size,
                num_workers=s.num_workers,
                augmentation=s.augmentation,
            )
        return CifarData(
            int(s.data.removeprefix("cifar")),
            s.root,
            image_size=s.image_size,
            batch_size=s.batch_size,
            num_workers=s.num_workers,
            augmentation=s.augmentation,
        )
    path = Path(s.data)
    is_table = not path.is_dir() and (path.exists() or path.suffix.lower() in (".csv", ".tsv"))
    kind = CsvData if is_table else FolderData
    return kind(
        s.data,
        image_size=s.image_size,
        in_channels=s.in_channels,
        crop_pct=s.crop_pct,
        batch_size=s.batch_size,
        num_workers=s.num_workers,
        augmentation=s.augmentation,
        on_broken=s.on_broken,
        cache=s.cache,
    )
