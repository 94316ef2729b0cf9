"""Graph convolutions: the four operators of the Vision GNN paper, and the registry for your own.

A new file in this package is imported automatically. Such a file only needs to register its operator with
`@register_conv`.
"""

from vig_pyg import _warnings  # isort: skip  # noqa: F401  (before anything else imports PyG)
from vig_pyg._registry import import_files
from vig_pyg.conv._types import NodesOrPair
from vig_pyg.conv.base import VisionConv
from vig_pyg.conv.edge_argument import EdgeArgument, apply_with_edge_attr, edge_argument, edge_values, refuse_edge_attr
from vig_pyg.conv.node_sets import apply_to_pair, refuse_pair, takes_one_set
from vig_pyg.conv.node_update import NodeUpdateConv
from vig_pyg.conv.registry import CONVS, ConvFactory, list_convs, register_conv

# isort: split  (lists and messages name the operators in this order)
from vig_pyg.conv.max_relative_conv import MaxRelativeConv  # isort: skip
from vig_pyg.conv.edge_conv import EdgeConv  # isort: skip
from vig_pyg.conv.gin_conv import GINConv  # isort: skip
from vig_pyg.conv.graph_sage_conv import GraphSAGEConv  # isort: skip
from vig_pyg.conv.reversed_max_relative_conv import ReversedMaxRelativeConv  # isort: skip
from vig_pyg.conv.gated_max_relative_conv import GatedMaxRelativeConv  # isort: skip
from vig_pyg.conv.neighbor_attention_conv import NeighborAttentionConv  # isort: skip
from vig_pyg.conv.resolver import resolve_conv

__all__ = [
    "CONVS",
    "ConvFactory",
    "EdgeArgument",
    "EdgeConv",
    "GINConv",
    "GatedMaxRelativeConv",
    "GraphSAGEConv",
    "MaxRelativeConv",
    "NeighborAttentionConv",
    "NodeUpdateConv",
    "NodesOrPair",
    "ReversedMaxRelativeConv",
    "VisionConv",
    "apply_to_pair",
    "apply_with_edge_attr",
    "edge_argument",
    "edge_values",
    "list_convs",
    "refuse_edge_attr",
    "refuse_pair",
    "register_conv",
    "resolve_conv",
    "takes_one_set",
]

import_files(__name__, __path__)
