"""The training loop that all tasks share. It needs the extra `train`."""

from typing import TYPE_CHECKING

from vig_pyg._lazy import imports_when_used, names_of
from vig_pyg._requirements import require_training

require_training()

if TYPE_CHECKING:
    from vig_pyg.engine.config import TrainConfig
    from vig_pyg.engine.data import TrainData
    from vig_pyg.engine.preemption import TrainingInterrupted
    from vig_pyg.engine.task import Task
    from vig_pyg.engine.training import fit

__all__ = ["Task", "TrainConfig", "TrainData", "TrainingInterrupted", "fit"]

#: The public names of each module.
_MODULES = {
    "vig_pyg.engine.config": ("TrainConfig",),
    "vig_pyg.engine.data": ("TrainData",),
    "vig_pyg.engine.preemption": ("TrainingInterrupted",),
    "vig_pyg.engine.task": ("Task",),
    "vig_pyg.engine.training": ("fit",),
}

__getattr__ = imports_when_used(__name__, _MODULES)


def __dir__() -> list[str]:
    return names_of(globals())
