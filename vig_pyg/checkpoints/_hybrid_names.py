"""Native and published prefixes of the keys of MobileViG, GreedyViG and MobileViGv2."""

OUTER = {
    "stem.": "stem.stem.",
    "head.fc1.": "prediction.1.",
    "head.norm.": "prediction.2.",
    "head.fc2.": "head.",
    "head.fc_dist.": "dist_head.",
}
LOCAL = {
    "fc1.0.": "dws.pw1.",
    "fc1.1.": "dws.norm1.",
    "conv.0.": "dws.dw.",
    "conv.1.": "dws.norm2.",
    "fc2.0.": "dws.pw2.",
    "fc2.1.": "dws.norm3.",
}
LOCAL_MOBILEVIG = {
    "fc1.0.": "mlp.fc1.",
    "fc1.1.": "mlp.norm1.",
    "conv.0.": "mlp.mid.",
    "conv.1.": "mlp.mid_norm.",
    "fc2.0.": "mlp.fc2.",
    "fc2.1.": "mlp.norm2.",
    "scale.gamma": "layer_scale_2",
}
GRAPH = {
    "grapher.position.conv.": "mixer.cpe.pe.",
    "grapher.fc1.": "mixer.fc1.",
    "grapher.conv.mlp.": "mixer.graph_conv.nn.",
    "grapher.fc2.": "mixer.fc2.",
    "grapher.scale.gamma": "layer_scale_1",
    "ffn.fc1.0.": "ffn.0.",
    "ffn.fc1.1.": "ffn.1.",
    "ffn.fc2.0.": "ffn.3.",
    "ffn.fc2.1.": "ffn.4.",
    "ffn.scale.gamma": "layer_scale_2",
}
GRAPH_MOBILEVIG = {
    "grapher.fc1.": "0.fc1.",
    "grapher.conv.mlp.": "0.graph_conv.nn.",
    "grapher.fc2.": "0.fc2.",
    "ffn.fc1.": "1.fc1.",
    "ffn.fc2.": "1.fc2.",
}
