"""The training loop that all tasks share. It needs the extra `train`."""

from vig_pyg._requirements import require_training

require_training()

from vig_pyg.engine.config import TrainConfig  # noqa: E402
from vig_pyg.engine.data import TrainData  # noqa: E402
from vig_pyg.engine.preemption import TrainingInterrupted  # noqa: E402
from vig_pyg.engine.task import Task  # noqa: E402
from vig_pyg.engine.training import fit  # noqa: E402

__all__ = ["Task", "TrainConfig", "TrainData", "TrainingInterrupted", "fit"]
