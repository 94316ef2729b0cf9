"""Segmentation networks as tests need them."""

import torch

from vig_pyg.segmentation import SEGMENTERS

NAMES = sorted(SEGMENTERS)


def segmenter(name="semantic_fpn", **options):
    """A small network."""
    return SEGMENTERS[name]("micro", **{"num_classes": 3, "out_channels": 16, "head_channels": 8, **options})


def settled(model, size=(48, 64)):
    """The network in evaluation mode, its batch norms with statistics, as those of a trained one."""
    norms = [module for module in model.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        model.train()(torch.rand(4, 3, *size, generator=generator).to(next(model.parameters())))
    for norm in norms:
        norm.momentum = 0.1
    return model.eval()
