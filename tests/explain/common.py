"""Images with their graphs."""

import torch

from tests.common import calibrated
from vig_pyg import create_model


def model_of(name, **options):
    """A model whose graphs and gradients are not decided by rounding."""
    return calibrated(create_model(name, **{"num_classes": 5, **options}))


def image_and_graphs(name, **options):
    image = torch.rand(3, 32, 32)
    return image, model_of(name, **options).graphs(image[None])
