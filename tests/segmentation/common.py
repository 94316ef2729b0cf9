"""Segmentation networks as tests need them."""

import torch

from vig_pyg.segmentation import SEGMENTERS
from vig_pyg.segmentation.config import Augmentation, SegmentationConfig
from vig_pyg.segmentation.loading import load_data, make_segmenter, with_epochs

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


def plan(train, val=None, *, options=None, **values):
    """A run of seconds."""
    options = {"out_channels": 16, "head_channels": 8} | (options or {})
    values = {"epochs": 2, "batch_size": 2, "lr": 1e-3, "warmup": "2 steps", "num_workers": 0, **values}
    values = {"crop_size": (32, 32), "augmentation": Augmentation(), **values}
    return SegmentationConfig(train=str(train), val=str(val or train), model="micro", options=options, **values)


def fit(config, out, *, resume=False, progress=False, **options):
    """`vig_pyg.engine.fit` with what a configuration names, as `vig-pyg segment train` does."""
    from vig_pyg import engine

    data = load_data(config)
    config = with_epochs(config, data)
    model = make_segmenter(config, len(data.class_names), pretrained=not resume)
    return engine.fit(model, data, config, out, resume=resume, progress=progress, **options)
