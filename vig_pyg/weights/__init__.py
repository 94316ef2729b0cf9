"""Published weights, files of weights in three layouts, and models on the Hugging Face hub."""

from vig_pyg.checkpoints.formats import KeyLayout, convert, detect_layout
from vig_pyg.checkpoints.read import WRAPPERS, read_state, unwrap
from vig_pyg.weights.download import cache_folder, download
from vig_pyg.weights.hub import HubMixin
from vig_pyg.weights.load import Report, Source, fetch, load_published, load_weights
from vig_pyg.weights.table import TABLE, TAGS, Weights, as_markdown, get, list_weights

__all__ = [
    "TABLE",
    "TAGS",
    "WRAPPERS",
    "HubMixin",
    "KeyLayout",
    "Report",
    "Source",
    "Weights",
    "as_markdown",
    "cache_folder",
    "convert",
    "detect_layout",
    "download",
    "fetch",
    "get",
    "list_weights",
    "load_published",
    "load_weights",
    "read_state",
    "unwrap",
]
