"""Files of weights from the network, once, and only whole ones."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote, urlsplit

import torch

from vig_pyg.weights.table import TABLE, Weights

#: Environment variable with the folder of this library's files; without it they lie in torch.hub's.
HOME = "VIG_PYG_HOME"
#: Seconds without an answer after which a server counts as unreachable.
TIMEOUT = 30.0


def cache_folder() -> Path:
    """Where downloaded weights lie: `$VIG_PYG_HOME/checkpoints`, or torch.hub's folder (`TORCH_HOME` moves it)."""
    home = os.environ.get(HOME)
    return Path(home or torch.hub.get_dir()).expanduser() / "checkpoints"


def download(source: Weights | str, *, progress: bool = True) -> Path:
    """The file of published weights or of a URL, from the cache if it is there.

    Args:
        source: An entry of the table, or a URL. Of a URL of the table the hash is known; of another one it is taken
            from its name in torch.hub's manner (`name-1a2b3c4d.pth`), if it is there.
        progress: Whether to show a bar.

    Returns:
        The path. The content has the expected hash.

    Raises:
        ConnectionError: If the file cannot be had, with the URL, the hash, and where to put it by hand.
        ValueError: If what came, or lay in the cache, has another hash; it is removed.
    """
    if isinstance(source, str):
        known = [entry for entry in TABLE.values() if entry.url == source]
        source = known[0] if known else source
    if isinstance(source, Weights):
        url, sha256, path = source.url, source.sha256, cache_folder() / source.file_name
    else:
        url, (sha256, path) = source, _of_url(source)
    wrong = ""
    if path.is_file():
        digest = _sha256(path)
        if digest.startswith(sha256):
            return path
        wrong = f" The file that lay there has the SHA-256 {digest[:12]}... and was removed."
        path.unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _timeout(TIMEOUT):
            torch.hub.download_url_to_file(url, str(path), sha256 or None, progress)
    except (OSError, HTTPException) as error:  # URLError and HTTPError are OSErrors
        raise ConnectionError(
            f"Cannot download {url} ({error}).{wrong} Get the file elsewhere "
            f"(SHA-256 {f'starts with {sha256}' if sha256 else 'unknown'}) and put it at {path}: then it works offline."
        ) from error
    except RuntimeError as error:  # torch.hub's word for another hash; it has removed the file
        got = re.search(r'got "(\w+)"', str(error))
        raise ValueError(
            f"What {url} sent has the SHA-256 {got[1][:12] if got else '?'}..., expected {sha256}...: it is damaged or "
            f"another file, and was not kept. Try again, or put the right file at {path}."
        ) from error
    return path


def _of_url(url: str) -> tuple[str, Path]:
    """The hash in a URL's name, if any, and the place in the cache: two URLs may end alike."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1] or "weights"
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    return (found[1] if found else ""), cache_folder() / f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{name}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """torch.hub asks without a limit of time: a silent server would hold it forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
