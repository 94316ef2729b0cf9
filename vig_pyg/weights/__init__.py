"""Published weights, files of weights in three formats, and models on the Hugging Face hub."""

from vig_pyg.checkpoints.formats import Format, convert, detect_format, to_native
from vig_pyg.checkpoints.read import WRAPPERS, read_state, unwrap_state_dict
from vig_pyg.weights.download import cache_folder, download
from vig_pyg.weights.hub import HubMixin
from vig_pyg.weights.load import Report, Source, fetch, identify_variant, load_published, load_weights
from vig_pyg.weights.table import TABLE, TAGS, Weights, as_markdown, get_weights, list_weights

__all__ = [
    "TABLE",
    "TAGS",
    "WRAPPERS",
    "Format",
    "HubMixin",
    "Report",
    "Source",
    "Weights",
    "as_markdown",
    "cache_folder",
    "convert",
    "detect_format",
    "download",
    "fetch",
    "get_weights",
    "identify_variant",
    "list_weights",
    "load_published",
    "load_weights",
    "read_state",
    "to_native",
    "unwrap_state_dict",
]
