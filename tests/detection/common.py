"""Detectors and targets as tests need them."""

import torch
from torch import nn

from tests.common import calibrated
from vig_pyg import PyramidViG
from vig_pyg.detection import DETECTORS
from vig_pyg.detection.config import DetectionConfig
from vig_pyg.detection.loading import load_data, make_detector

#: Ordinary, one pixel, a line, without objects.
SIZES = [(50, 70), (1, 1), (1, 2000), (33, 47)]


def body(**overrides):
    """A small network whose features differ from place to place, as those of a trained one."""
    return calibrated(PyramidViG("micro", position="grid", knn_engine="dense", **overrides))


def detector(name, **options):
    return DETECTORS[name]("micro", **{"num_classes": 3, "min_size": 64, "max_size": 96, "out_channels": 16, **options})


def batch(sizes=SIZES, seed=0):
    """Images and targets, the last without objects; every box has its mask."""
    generator = torch.Generator().manual_seed(seed)
    images = [torch.rand(3, *size, generator=generator) for size in sizes]
    targets = []
    for i, (h, w) in enumerate(sizes):
        n = 0 if i == len(sizes) - 1 else 2
        box = torch.tensor([[0.0, 0.0, max(1, w // 2), max(1, h // 2)], [0.0, 0.0, w, h]])[:n]
        masks = torch.ones(n, h, w, dtype=torch.uint8)
        targets.append({"boxes": box, "labels": torch.tensor([1, 3])[:n], "masks": masks})
    return images, targets


def norms(module):
    return [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def plan(train, val=None, *, detector="retinanet", options=None, **values):
    """A run of seconds."""
    few = {} if detector == "retinanet" else {"rpn_post_nms_top_n_train": 64, "box_batch_size_per_image": 32}
    options = {"min_size": 64, "max_size": 96, "out_channels": 16, "detector": few} | (options or {})
    values = {"epochs": 2, "batch_size": 2, "lr": 1e-3, "warmup": "2 steps", "num_workers": 0, **values}
    val = str(val or train)
    return DetectionConfig(train=str(train), val=val, detector=detector, model="micro", options=options, **values)


def fit(config, out, *, resume=False, progress=False, **options):
    """`vig_pyg.engine.fit` with what a configuration names, as `vig-pyg detect train` does."""
    from vig_pyg import engine

    data = load_data(config)
    model = make_detector(config, len(data.class_names), pretrained=not resume)
    return engine.fit(model, data, config, out, resume=resume, progress=progress, **options)
