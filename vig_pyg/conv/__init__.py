"""Graph convolutions: four operators of the paper, and how to bring another."""

from vig_pyg.conv.base import NodesOrPair, NodeUpdateConv, VisionConv
from vig_pyg.conv.resolver import CONVS, ConvFactory, resolve_conv
from vig_pyg.conv.edge_conv import EdgeConv
from vig_pyg.conv.gin_conv import GINConv
from vig_pyg.conv.graph_sage_conv import GraphSAGEConv
from vig_pyg.conv.max_relative_conv import MaxRelativeConv

__all__ = [
    "CONVS",
    "ConvFactory",
    "EdgeConv",
    "GINConv",
    "GraphSAGEConv",
    "MaxRelativeConv",
    "NodeUpdateConv",
    "NodesOrPair",
    "VisionConv",
    "resolve_conv",
]
