"""What tests of predictions share."""

import torch
from PIL import Image
from torch import nn

from vig_pyg.classification import ImageClassifier
from vig_pyg.preprocess import Preprocessing

RGB = {"red": (255, 40, 0), "green": (0, 255, 40), "blue": (40, 0, 255)}


class Colors(nn.Module):
    """The classes are red, green and blue: the brightest channel wins."""

    def __init__(self, classes=3):
        super().__init__()
        self.classes = classes
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        means = images.mean((2, 3))
        return torch.cat([means, -torch.arange(2.0, self.classes - 1).expand(len(images), -1)], 1)


def colors(names=("red", "green", "blue")):
    return ImageClassifier(
        name="colors", model=Colors(len(names)), class_names=list(names), preprocessing=Preprocessing(image_size=8)
    )


def paint(path, color):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 9), RGB[color]).save(path)
    return path
