"""Image sources. A new file in this package is imported automatically, and only needs to use `@register_source`."""

from vig_pyg._registry import import_files
from vig_pyg.classification.sources.registry import SOURCES, list_sources, make_source, register_source

# isort: split  (lists and messages name the sources in this order)
from vig_pyg.classification.sources.digits import DigitsData  # isort: skip
from vig_pyg.classification.sources.cifar import CifarData  # isort: skip
from vig_pyg.classification.sources.collection import CollectionData
from vig_pyg.classification.sources.files import CsvData, FolderData

__all__ = [
    "SOURCES",
    "CifarData",
    "CollectionData",
    "CsvData",
    "DigitsData",
    "FolderData",
    "list_sources",
    "make_source",
    "register_source",
]

import_files(__name__, __path__)
