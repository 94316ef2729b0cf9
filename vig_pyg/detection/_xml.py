"""Reading of untrusted XML, without external files and without expansion of entities."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

#: Largest file in bytes; an annotation has a few kilobytes.
MAX_BYTES = 2**24
#: Deepest nesting; Pascal VOC has four.
MAX_DEPTH = 32


def read_xml(path: Path) -> Element:
    """Read an XML file, and return its root element.

    Document types are refused, because their entities can refer to files and URLs, or expand to gigabytes.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file is not XML, too large, nested too deeply, or has a document type; the message names it.
    """
    if not path.is_file():
        raise FileNotFoundError(f"The annotation file {path} does not exist.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES // 2**20} MiB, too large for the annotation of an image.")
    parser = XMLParser(target=_Bounded())
    try:
        parser.feed(path.read_bytes())
        root: Element = parser.close()
    except (ParseError, LookupError, ValueError) as error:  # LookupError: no such encoding
        raise ValueError(f"{path} cannot be read as XML: {error}.") from error
    return root


class _Bounded(TreeBuilder):
    depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> Element:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise ValueError(f"its elements are nested more than {MAX_DEPTH} levels deep")
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self.depth -= 1
        return super().end(tag)

    def doctype(self, *_: str) -> NoReturn:
        raise ValueError("it has a document type (<!DOCTYPE ...>): remove that line")
