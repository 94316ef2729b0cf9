"""Types and bounds of everything that a recipe may say, on a command line or in a stranger's file."""

from __future__ import annotations

from vig_pyg._io.schema import Check, choice, either, flag, number, optional, text, whole

_RATE = number(0, 1_000)
_SHARE = number(0, 1)

#: Of a `TrainConfig`; a number outside is a slip, or meant to fill the memory.
RECIPE: dict[str, Check] = {
    "epochs": whole(1, 10**6),
    "lr": _RATE,
    "weight_decay": _RATE,
    "eps": _SHARE,
    "warmup": _SHARE,
    "warmup_lr": _RATE,
    "min_lr": _RATE,
    "layer_decay": _SHARE,
    "freeze": flag,
    "clip_grad": optional(number(0, 1e9)),
    "accumulate": whole(1, 10**6),
    "label_smoothing": _SHARE,
    "class_weights": flag,
    "mixup": number(0, 1_000),
    "cutmix": number(0, 1_000),
    "mix_prob": _SHARE,
    "repeats": whole(1, 1_000),
    "ema": optional(_SHARE),
    "ema_warmup": flag,
    "patience": optional(whole(1, 10**6)),
    "keep": choice(("last", "best")),
    "seed": whole(0, 2**32 - 1),
    "precision": text(40),
    "accelerator": text(40),
    "devices": either(choice(("auto",)), whole(1, 1_024)),
    "num_nodes": whole(0, 100_000),
    "sync_bn": flag,
    "checkpoint_every": optional(whole(1, 10**9)),
    "tensorboard": flag,
}


def check_bounds(values: object, bounds: dict[str, Check]) -> None:
    """Raise `ValueError` with the name of the first value that is out of its bounds.

    Args:
        values: An object with an attribute for each bound.
        bounds: A check for each attribute.
    """
    for name, check in bounds.items():
        check(getattr(values, name), name)
