"""Formats of images with masks; the first format that recognizes a source reads it."""

from vig_pyg.segmentation.sources import folders, voc, ade20k, cityscapes, coco  # noqa: F401, I001  (their order)
from vig_pyg.segmentation.sources.registry import FORMATS, check_source, list_formats, open_source, register_format

__all__ = ["FORMATS", "check_source", "list_formats", "open_source", "register_format"]
