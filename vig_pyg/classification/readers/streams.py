"""Prefixes of timm's readers that read images only as a stream; their errors explain why they are not supported."""

from __future__ import annotations

from typing import NoReturn

from vig_pyg.classification.readers.registry import ReaderOptions, list_readers, register_reader

#: The prefixes, and why and how they are replaced.
STREAMS = {
    "tfds": "TensorFlow Datasets decodes images itself, as a stream. Write them as Parquet or as shards, "
    "and use hfds/ or wds/",
    "hfids": "a stream from the hub has no image numbers. Use hfds/ with the same name, which downloads the data once",
}


def _refuse(prefix: str) -> None:
    @register_reader(prefix)
    def refuse(name: str, options: ReaderOptions) -> NoReturn:  # noqa: ARG001
        raise ValueError(
            f"{prefix}/{name} cannot be read: training resumes exactly in the middle of an epoch, and every command "
            f"reads the same pixels, but {STREAMS[prefix]}."
        )


def readable_prefixes() -> str:
    """Return the prefixes of data that can be read, for messages.

    Example:
        >>> readable_prefixes()
        'hfds/, wds/ or torch/'
    """
    *first, last = [f"{name}/" for name in list_readers() if name not in STREAMS]
    return f"{', '.join(first)} or {last}"


for _prefix in STREAMS:
    _refuse(_prefix)
