"""XML from strangers: nothing is fetched, nothing grows."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

#: Largest file that is read; an annotation has some kilobytes.
MAX_BYTES = 2**24
#: Deepest nesting; Pascal VOC has four.
MAX_DEPTH = 32


def read_xml(path: Path) -> Element:
    """Read the root of an XML file.

    Document types are refused: their entities can name files and addresses, or grow to gigabytes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not XML, too large, nested too deeply, or has a document type; with its name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no annotation at {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: it is no annotation of an image.")
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
            raise ValueError(f"its elements are nested more than {MAX_DEPTH} times")
        return super().start(tag, attrs)

    def end(self, tag: str) -> Element:
        self.depth -= 1
        return super().end(tag)

    def doctype(self, *_: str) -> NoReturn:
        raise ValueError("it has a document type (<!DOCTYPE ...>): remove that line")
