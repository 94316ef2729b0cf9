"""Download of weight files into a cache, with verification of their hashes."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import socket
import tempfile
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import torch
from tqdm import tqdm

from vig_pyg._io.progress import bar_look
from vig_pyg.weights.table import TABLE, Weights

_log = logging.getLogger(__name__)

#: Environment variable with the cache folder of this library; the default is the folder of torch.hub.
HOME = "VIG_PYG_HOME"
#: Seconds without a response after which a server is considered unreachable.
TIMEOUT = 30.0
#: The accepted URL schemes; a redirect to `file:` or `ftp:` is refused.
SCHEMES = ("https", "http")
#: Largest file that is downloaded, in bytes; the published files are smaller than half a gigabyte.
MOST_BYTES = 16 * 2**30
#: Number of bytes per read.
CHUNK = 2**17


def cache_folder() -> Path:
    """Return the folder of downloaded weights.

    It is `$VIG_PYG_HOME/checkpoints` if this variable is set, otherwise torch.hub's folder (see `TORCH_HOME`).

    Example:
        >>> cache_folder().name
        'checkpoints'
    """
    home = os.environ.get(HOME)
    return Path(home or torch.hub.get_dir()).expanduser() / "checkpoints"


def download(source: Weights | str, *, folder: str | Path | None = None, progress: bool = True) -> Path:
    """Download a weight file, unless it is in the cache, and verify its hash.

    Args:
        source: An entry of the table of weights, or a URL. For a registered URL the hash is known; otherwise it is
            parsed from the file name (`name-1a2b3c4d.pth`), as torch.hub does.
        folder: The folder of the file; by default `cache_folder()`.
        progress: If true, a progress bar is shown.

    Returns:
        The path of the file in the cache. If the hash is known, the file has this hash; if only the size is known, it
        has this size, and a warning in the log has the hash.

    Raises:
        ConnectionError: If the file cannot be downloaded. The message states the URL, the hash, and the path at which a
            copy can be placed by hand.
        ValueError: If the downloaded file has another hash or size, in which case it is removed, or if the URL is
            neither https nor http.

    Example:
        >>> from vig_pyg.weights import ViG_Ti_Weights
        >>> path = download(ViG_Ti_Weights.DEFAULT)  # doctest: +SKIP
    """
    if isinstance(source, str):
        known = [entry for entry in TABLE.values() if entry.url == source]
        source = known[0] if known else source
    if isinstance(source, Weights):
        url, sha256, name = source.url, source.sha256, source.file_name
    else:
        url, (sha256, name) = source, _of_url(source)
    path = (cache_folder() if folder is None else Path(folder)) / name
    if urlsplit(url).scheme.lower() not in SCHEMES:
        raise ValueError(f"Expected a URL that starts with https:// or http://, got {url}: pass a file by its path.")
    wrong = ""
    if path.is_file():
        digest = _sha256(path) if sha256 else ""
        if digest.startswith(sha256) and not _size_fault(source, path):
            return path
        found = f"the SHA-256 {digest[:12]}..." if sha256 else f"{path.stat().st_size} bytes"
        wrong = f" The existing file had {found} and was removed."
        path.unlink()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _fetch(url, path, sha256, progress)
    except (OSError, HTTPException) as error:  # URLError and HTTPError are OSErrors
        raise ConnectionError(
            f"Cannot download {url} ({_reason(error)}).{wrong} Get the file elsewhere "
            f"(SHA-256 {f'starts with {sha256}' if sha256 else 'unknown'}) and put it at {path}: then it works offline."
            " Or keep it elsewhere, and pass its path as the weights."
        ) from error
    if not digest.startswith(sha256):
        raise ValueError(
            f"The file from {url} has the SHA-256 {digest[:12]}..., expected {sha256}...: it is damaged or another "
            f"file, and was not saved. Try again, or put the right file at {path}."
        )
    if isinstance(source, Weights) and not sha256:
        if fault := _size_fault(source, path):
            path.unlink()
            raise ValueError(f"The file from {url} has {fault}: it is damaged or another file, and was not saved.")
        _log.warning(
            "No hash of %s was published, so only its size was compared. Its SHA-256 is %s: compare it with that of "
            "another copy.",
            url, digest,
        )  # fmt: skip
    return path


def _reason(error: Exception) -> str:
    """Return why a download failed; the text of a `URLError` is the representation of another error."""
    if not isinstance(error, URLError) or isinstance(error, HTTPError):
        return str(error)
    if isinstance(error.reason, socket.gaierror):
        return "the address of the server was not found: is this computer online?"
    return getattr(error.reason, "strerror", None) or str(error.reason)


def _size_fault(source: Weights | str, path: Path) -> str:
    """Return what is wrong with the size of a file; the published sizes are rounded to three digits."""
    if not isinstance(source, Weights) or not source.megabytes:
        return ""
    found = path.stat().st_size / 1e6
    return "" if abs(found / source.megabytes - 1) < 0.01 else f"{found:.1f} MB, expected {source.megabytes:g} MB"


class _FromServerToServer(HTTPRedirectHandler):
    """Follows redirects to http and https URLs only, and never from https to http."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in SCHEMES or (before == "https" and after == "http"):
            raise URLError(f"it redirects to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, path: Path, sha256: str, progress: bool) -> str:
    """Download a file and return its SHA-256; the file is created only if the hash is the expected one."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _receive(url, file, progress)
        if digest.startswith(sha256):
            os.chmod(partial, 0o644)  # only the owner can read a file that mkstemp creates
            os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
    return digest


def _receive(url: str, file: BinaryIO, progress: bool) -> str:
    """Write the response of a server into a file, and return its SHA-256."""
    digest, received = hashlib.sha256(), 0
    request = Request(url, headers={"User-Agent": "vig-pyg"})
    with build_opener(_FromServerToServer).open(request, timeout=TIMEOUT) as answer:
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() else None
        with tqdm(total=size, **bar_look(shown=progress, unit="B")) as bar:
            while (size or 0) <= MOST_BYTES and (chunk := answer.read(CHUNK)):
                received += len(chunk)
                if received > MOST_BYTES:
                    break
                file.write(chunk)
                digest.update(chunk)
                bar.update(len(chunk))
    if max(size or 0, received) > MOST_BYTES:
        raise OSError(f"it is larger than {MOST_BYTES} bytes")
    return digest.hexdigest()


def _of_url(url: str) -> tuple[str, str]:
    """Return the hash in the file name of a URL (or `""`), and a name in the cache that is unique for the URL."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1] or "weights"
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    place = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{re.sub(r'[^A-Za-z0-9_.+=-]', '_', name)[-100:]}"
    return (found[1] if found else ""), place


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
