"""Readers of data sets in the formats of other libraries, by timm's prefixes: `wds/...`, `hfds/...`, `torch/...`.

A new file in this package is imported automatically. Such a file only needs to register its reader with
`@register_reader`.
"""

from vig_pyg._registry import import_files
from vig_pyg.classification.readers.labeled import find_labeled_in
from vig_pyg.classification.readers.registry import (
    READERS,
    Collection,
    Part,
    ReaderOptions,
    list_readers,
    open_collection,
    reader_prefix,
    register_reader,
)

__all__ = [
    "READERS",
    "Collection",
    "Part",
    "ReaderOptions",
    "find_labeled_in",
    "list_readers",
    "open_collection",
    "reader_prefix",
    "register_reader",
]

import_files(__name__, __path__)
