"""What the predictors of all tasks share: a short text, and an error where a network is expected."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import nn

#: Number of class names in the text of a predictor.
SHOWN = 5


class Predictor:
    """The base of an image classifier, an object detector and a semantic segmenter.

    Example:
        >>> class Mine(Predictor):
        ...     name, model, class_names = "mine", nn.Linear(2, 3), ["cat", "dog", "owl"]
        >>> Mine()
        Mine(name='mine', model=Linear (9 parameters), classes=['cat', 'dog', 'owl'])
    """

    name: str
    model: Any
    class_names: list[str]

    def __repr__(self) -> str:
        count = sum(parameter.numel() for parameter in self.model.parameters())
        shown = ", ".join(map(repr, self.class_names[:SHOWN]))
        rest = f", ... {len(self.class_names)} in all" if len(self.class_names) > SHOWN else ""
        size = self._size()
        return (
            f"{type(self).__name__}(name={self.name!r}, model={type(self.model).__name__} ({count:,} parameters), "
            f"classes=[{shown}{rest}]{size and f', {size}'})"
        )

    def _size(self) -> str:
        """Return the size of the images in the network, as part of the text."""
        return ""

    def __getattr__(self, name: str) -> NoReturn:
        """Explain an attribute that only the network has; functions for networks read such attributes."""
        kind = type(self).__name__
        network = self.__dict__.get("model")  # a copy has no fields yet
        if isinstance(network, nn.Module) and not name.startswith("__") and hasattr(network, name):
            raise AttributeError(
                f"{kind!r} object has no attribute {name!r}, but its network has: to a function for networks, pass "
                "predictor.model instead of the predictor."
            )
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")
