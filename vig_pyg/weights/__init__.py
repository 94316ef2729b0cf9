"""Published weights: the table, downloads, and files of weights in three formats."""

from vig_pyg.checkpoints.formats import Format, convert, detect_format, to_native
from vig_pyg.checkpoints.load import Report, identify_variant
from vig_pyg.checkpoints.read import WRAPPERS, read_state, unwrap_state_dict
from vig_pyg.weights.download import cache_folder, download
from vig_pyg.weights.load import Source, check_exists, fetch, load_published, load_weights
from vig_pyg.weights.table import (
    AVERAGED,
    TABLE,
    TAGS,
    ModelWeights,
    PViG_B_Weights,
    PViG_M_Weights,
    PViG_S_Weights,
    PViG_Ti_Weights,
    ViG_B_Weights,
    ViG_S_Weights,
    ViG_Ti_Weights,
    Weights,
    as_markdown,
    get_weights,
    list_weights,
)

__all__ = [
    "AVERAGED",
    "TABLE",
    "TAGS",
    "WRAPPERS",
    "Format",
    "ModelWeights",
    "PViG_B_Weights",
    "PViG_M_Weights",
    "PViG_S_Weights",
    "PViG_Ti_Weights",
    "Report",
    "Source",
    "ViG_B_Weights",
    "ViG_S_Weights",
    "ViG_Ti_Weights",
    "Weights",
    "as_markdown",
    "cache_folder",
    "check_exists",
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
