"""The message about a model and other inputs that are all missing, so that the user does not meet them one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vig_pyg._io.faults import first_ten


@contextmanager
def naming_a_missing_model(model: str, what: str, *, expected: str = "") -> Iterator[None]:
    """A context for the check of other inputs: an error in it names a missing model too, before the inputs.

    The other inputs are checked first, because this is quicker than to load a model, or to ask the hub for it.

    Args:
        what: What is checked, such as `"images"`.
        expected: What the command loads, such as `"a detector"`, if it takes no names of published weights.

    Raises:
        FileNotFoundError: If both are missing; otherwise the error about the input.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        problem = _missing(model, expected)
        if not problem:
            raise
        first, *items = str(error).split("\n  ")  # an error about several inputs has a list of them
        named = first_ten([problem, *(items or [first])])
        raise FileNotFoundError(f"The model and the {what} cannot be used:{named}") from error


def _missing(model: str, expected: str) -> str:
    """Return the message about a model that certainly does not exist, or `""`; the hub is not asked."""
    from vig_pyg.classification.load import check_name
    from vig_pyg.models.hub import is_hub_name
    from vig_pyg.models.local_folder import missing_folder
    from vig_pyg.models.published_name import check_no_classifier

    if is_hub_name(model) or Path(model).is_dir():
        return ""
    try:
        if not expected:
            check_name(model)
            return ""
        check_no_classifier(model, expected)
    except (OSError, ValueError) as error:
        return str(error)
    return missing_folder(model)
