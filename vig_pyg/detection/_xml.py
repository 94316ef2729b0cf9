"""XML from strangers: nothing is fetched, nothing grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

#: Largest file that is read; an annotation has some kilobytes.
MAX_BYTES = 2**24
#: Deepest nesting; Pascal VOC has four.
MAX_DEPTH = 32


def read_xml(path: Path) -> Element:
    """The root of an XML file.

    Document types are refused: their entities can name files and addresses, or grow to gigabytes.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not XML, too large, nested too deeply, or has a document type; with its name.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There is no annotation at {path}.")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES // 2**20} MiB: it is no annotation of an image.")
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"its elements are nested more than {MAX_DEPTH} times")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # LookupError: no such encoding
        raise ValueError(f"{path} cannot be read as XML: {error}.") from error
    return builder.close()


def _refuse(*_: Any) -> NoReturn:
    raise ValueError("it has a document type (<!DOCTYPE ...>): remove that line")
