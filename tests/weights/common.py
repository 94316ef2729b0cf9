"""What tests of weights share."""

import torch

from vig_pyg import pvig_micro, vig_micro

LAYOUTS = ["own", "official", "mmpretrain"]
FAMILIES = {"vig": vig_micro, "pvig": pvig_micro}


def drawn(model):
    """The model with other numbers everywhere, in buffers too."""
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randint(9, tensor.shape)) if tensor.dtype == torch.long else tensor.uniform_(0.1, 1)
    return model


def copied(model):
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


class Payload:
    """What a hostile file would hold: code that runs while it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)
