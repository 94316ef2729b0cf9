"""The registry of image sources."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vig_pyg._registry import Registry
from vig_pyg.classification.data import ImageData

Source = TypeVar("Source", bound=Callable[..., ImageData])

#: All registered sources by name: callables that create an `ImageData`.
SOURCES: Registry[Callable[..., ImageData]] = Registry(
    "source", advice=", a folder of images, or a CSV file (on the command line an import path such as my_data:Stripes)"
)
#: The number of image channels of each source with a fixed number.
_CHANNELS: dict[str, int] = {}


def register_source(name: str, *, in_channels: int | None = None) -> Callable[[Source], Source]:
    """Register an image source under a name; a decorator for a class or function that returns an `ImageData`.

    The name is then valid for `data=` and `--data`, and `list_sources` includes it. The source is called with those
    values of a `ClassificationConfig` that are its parameters: `image_size`, `in_channels`, `crop_pct`, `batch_size`,
    `num_workers`, `augmentation`, `root`, `on_bad`, `cache`.

    Args:
        name: The name, without spaces.
        in_channels: Number of channels of the images if it is fixed; a configuration with another value is an error.

    Returns:
        A decorator that returns the source unchanged.

    Raises:
        ValueError: If another source is registered under this name.
        TypeError: If the decorated object is not callable.

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
    """List the registered image sources: the valid names for `data=`, besides the path of a folder or a CSV file.

    Example:
        >>> list_sources()
        ['digits', 'cifar10', 'cifar100']
    """
    return SOURCES.names()


def fixed_channels(name: str) -> int | None:
    """Return the number of channels of a source whose images have a fixed number, or `None`.

    Example:
        >>> from vig_pyg.classification import DigitsData  # registers the source
        >>> fixed_channels("digits")
        1
    """
    return _CHANNELS.get(name)


def make_source(name: str, values: Mapping[str, Any]) -> ImageData:
    """Create the images of a registered source.

    Args:
        name: A name from `list_sources()`.
        values: Values by name; the source receives those for which it has a parameter.

    Raises:
        ValueError: If the source has no parameter `cache` or `crop_pct` and the given value is not the default, or if
            the images have another number of channels than `in_channels`.

    Example:
        >>> from vig_pyg.classification import DigitsData  # registers the source
        >>> values = {"image_size": 16, "in_channels": 1, "crop_pct": 1.0, "batch_size": 32, "cache": None}
        >>> make_source("digits", values).preprocessing.image_size
        16
    """
    make = SOURCES.resolve(name)
    parameters = inspect.signature(make).parameters
    channels = _CHANNELS.get(name, values["in_channels"])
    idle = [
        key for key, default in (("cache", None), ("crop_pct", 1)) if key not in parameters and values[key] != default
    ]
    if idle or values["in_channels"] != channels:
        raise ValueError(
            f"{name} has fixed values: in_channels={channels}, no cache and no crop, got "
            f"in_channels={values['in_channels']}, cache={values['cache']} and crop_pct={values['crop_pct']}: leave "
            "out the values that differ."
        )
    data = make(**{key: value for key, value in values.items() if key in parameters})
    found = data.preprocessing.in_channels
    if found != values["in_channels"]:
        raise ValueError(f"{name} has images of {found} channels, expected in_channels={values['in_channels']}.")
    return data
