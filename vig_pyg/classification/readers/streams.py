"""Prefixes of timm's readers that read images only as a stream; their errors explain why they are not supported."""

from __future__ import annotations

from typing import NoReturn

from vig_pyg.classification.readers.registry import ReaderOptions, register_reader

_ADVICE = {
    "tfds": "TensorFlow Datasets decodes images itself, as a stream. Write them as Parquet or as shards, "
    "and use hfds/ or wds/",
    "hfids": "a stream from the hub has no image numbers. Use hfds/ with the same name, which downloads the data once",
}


def _refuse(prefix: str) -> None:
    @register_reader(prefix)
    def refuse(name: str, options: ReaderOptions) -> NoReturn:  # noqa: ARG001
        raise ValueError(
            f"{prefix}/{name} cannot be read: training resumes exactly in the middle of an epoch, and every command "
            f"reads the same pixels, but {_ADVICE[prefix]}."
        )


for _prefix in _ADVICE:
    _refuse(_prefix)
