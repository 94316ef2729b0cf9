"""Preset values for the training of detectors on COCO."""

from __future__ import annotations

from typing import Any

#: Short sides of multi-scale training on COCO; evaluation uses the last one.
SIDES = tuple(range(480, 801, 32))

#: Values of the usual schedules by name, for batches of 16 images. An epoch of COCO has 7,392 steps.
PRESETS: dict[str, dict[str, Any]] = {
    # the short side is 800; the learning rate falls after epochs 8 and 11
    "1x": {
        "epochs": 12,
        "batch_size": 16,
        "schedule": "step",
        "milestones": (8 / 12, 11 / 12),
        "warmup": "500 steps",
        "aspect_grouping": True,
        "options.min_size": 800,
        "options.max_size": 1333,
    },
    # three times as long, with short sides from 480 to 800; the learning rate falls after epochs 27 and 33
    "3x": {
        "epochs": 36,
        "batch_size": 16,
        "schedule": "step",
        "milestones": (27 / 36, 33 / 36),
        "warmup": "500 steps",
        "aspect_grouping": True,
        "options.min_size": SIDES,
        "options.max_size": 1333,
    },
    # large-scale jitter to 1024 pixels for 100 epochs; the learning rate drops at the published times; copy-paste is
    # off, because it needs outlines
    "lsj": {
        "epochs": 100,
        "batch_size": 16,
        "schedule": "step",
        "milestones": (0.889, 0.963),
        "warmup": "500 steps",
        "aspect_grouping": True,
        "augmentation": {"jitter": (0.1, 2.0), "jitter_size": 1024},
        "options.min_size": 800,
        "options.max_size": 1333,
    },
}
