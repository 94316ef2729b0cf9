"""Types and bounds of the rest of the settings of a classifier's run."""

from __future__ import annotations

from vig_pyg._io.schema import Check, choice, either, flag, number, optional, text, whole
from vig_pyg.config_schema import SIDE_LIMIT

_SHARE = number(0, 1)
_PATH = text(4_096)

#: Of the rest of `ClassificationConfig`; the options of the network are checked when its name is known.
SETTINGS: dict[str, Check] = {
    "affine": flag,
    "crop": optional(number(1e-4, 1)),
    "flip": _SHARE,
    "color_jitter": number(0, 10),
    "randaugment": optional(text(100)),
    "erasing": _SHARE,
    "data": _PATH,
    "root": _PATH,
    "image_size": whole(1, SIDE_LIMIT),
    "in_channels": whole(1, 1_024),
    "crop_pct": number(0.01, 1),
    "batch_size": whole(1, 10**6),
    "workers": whole(0, 1_024),
    "cache": optional(whole(1, SIDE_LIMIT)),
    "on_broken": choice(("stop", "skip")),
    "model": text(100),
    "drop_path_rate": either(choice(("published",)), _SHARE),
    "weights": optional(_PATH),
}
