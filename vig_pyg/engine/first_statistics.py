"""Running statistics of batch norms that start from the first batches rather than from zero and one."""

from __future__ import annotations

from typing import Any

import lightning
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vig_pyg.engine.task import Task


class FirstStatistics(lightning.Callback):
    r"""Averages the statistics of the first batches equally, so that short runs are evaluated correctly.

    A batch norm with momentum m starts with mean 0 and variance 1, and after n batches still gives this start the
    weight :math:`(1 - m)^n`: 43 % after 8 batches. Training does not use these running statistics, but evaluation
    does, and its loss is then in the thousands. With the momentum :math:`\max(m, 1 / n)` in the n-th batch, the start
    has no weight. Batch norms whose statistics were loaded are not changed.

    Example:
        >>> FirstStatistics().state_dict()
        {'batches': 0, 'norms': []}
    """

    def __init__(self) -> None:
        self.batches = 0
        self.names: list[str] | None = None
        self._norms: list[tuple[_BatchNorm, float]] = []

    def on_fit_start(self, _: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, Task)
        found = {name: one for name, one in pl_module.model.named_modules() if isinstance(one, _BatchNorm)}
        if self.names is None:
            self.names = [name for name, one in found.items() if is_untouched(one)]
        self._norms = [(found[name], float(found[name].momentum or 1)) for name in self.names if name in found]

    def on_train_batch_start(self, *_: Any, **__: Any) -> None:
        """Set the momentum of this batch; most batches have the original one, which costs no time."""
        self._norms = [(norm, momentum) for norm, momentum in self._norms if momentum * (self.batches + 1) < 1]
        for norm, _momentum in self._norms:
            norm.momentum = 1 / (self.batches + 1)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self.batches += 1
        self._restore()

    def on_exception(self, *_: Any, **__: Any) -> None:
        self._restore()

    def _restore(self) -> None:
        for norm, momentum in self._norms:
            norm.momentum = momentum

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "norms": list(self.names or [])}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches, self.names = state_dict["batches"], list(state_dict["norms"])


def is_untouched(norm: nn.Module) -> bool:
    """True for a batch norm whose running statistics are those of a new module.

    Example:
        >>> import torch
        >>> norm = nn.BatchNorm1d(2); before = is_untouched(norm); norm(torch.rand(4, 2)).shape
        torch.Size([4, 2])
        >>> before, is_untouched(norm)
        (True, False)
    """
    if not isinstance(norm, _BatchNorm) or norm.momentum is None:
        return False
    mean, variance, batches = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if mean is None or variance is None or batches is None:
        return False
    return int(batches) == 0 and not bool(mean.any()) and bool((variance == 1).all())
