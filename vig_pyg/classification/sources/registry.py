"""Sources of images by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vig_pyg._registry import Registry
from vig_pyg.classification.data import ImageData

Source = TypeVar("Source", bound=Callable[..., ImageData])

#: All sources that have a name: callables that make the `ImageData`.
SOURCES: Registry[Callable[..., ImageData]] = Registry(
    "source", advice=", a folder of images, or a CSV file (on the command line an import path such as my_data:Stripes)"
)
#: Channels of the images of a source, where they cannot be chosen.
_CHANNELS: dict[str, int] = {}


def register_source(name: str, *, in_channels: int | None = None) -> Callable[[Source], Source]:
    """Give a source of images a name: for `data=`, the command line, and the lists.

    A source is a class or a function that returns an `ImageData`. It is called with those values of a
    `ClassificationConfig` that its parameters name: `image_size`, `in_channels`, `crop_pct`, `batch_size`,
    `num_workers`, `augmentation`, `root`, `on_broken`, `cache`.

    Args:
        name: Its name, without spaces.
        in_channels: Channels of its images, where they cannot be chosen; another value in a configuration is an error.

    Raises:
        ValueError: If another source has the name.
        TypeError: If what is decorated is not callable.

    Example:
        >>> from vig_pyg.classification import DigitsData
        >>> @register_source("large_digits", in_channels=1)
        ... def large_digits(batch_size, num_workers):
        ...     return DigitsData(image_size=32, batch_size=batch_size, num_workers=num_workers)
        >>> list_sources()[-1]
        'large_digits'
        >>> SOURCES.remove("large_digits")  # this was an example
    """
    if in_channels is not None:
        _CHANNELS[name] = in_channels
    return SOURCES.register(name)


def list_sources() -> list[str]:
    """Return names for `data=`; a folder or a CSV file is given by its path.

    Example:
        >>> list_sources()
        ['digits', 'cifar10', 'cifar100']
    """
    return SOURCES.names()


def make_source(name: str, values: Mapping[str, Any]) -> ImageData:
    """Make the images of a source.

    Args:
        name: A name of `list_sources()`.
        values: Options by name; the source gets those that it has a parameter for.

    Raises:
        ValueError: If the source has no parameter for `cache`, `crop_pct` or `in_channels`, and they are not what it
            does without; or its images have other channels.
    """
    make = SOURCES.resolve(name)
    parameters = inspect.signature(make).parameters
    channels = _CHANNELS.get(name, values["in_channels"])
    idle = [
        key for key, default in (("cache", None), ("crop_pct", 1)) if key not in parameters and values[key] != default
    ]
    if idle or values["in_channels"] != channels:
        raise ValueError(
            f"{name} has in_channels={channels}, no files to cache and nothing to crop: got "
            f"in_channels={values['in_channels']}, cache={values['cache']}, crop_pct={values['crop_pct']}."
        )
    data = make(**{key: value for key, value in values.items() if key in parameters})
    found = data.preprocessing.in_channels
    if found != values["in_channels"]:
        raise ValueError(f"{name} has images of {found} channels, expected in_channels={values['in_channels']}.")
    return data
