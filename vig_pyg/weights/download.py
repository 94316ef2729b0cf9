"""Files of weights from the network, once, and only whole ones."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import torch
from tqdm import tqdm

from vig_pyg.weights.table import TABLE, Weights

#: Environment variable with the folder of this library's files; without it they lie in torch.hub's.
HOME = "VIG_PYG_HOME"
#: Seconds without an answer after which a server counts as unreachable.
TIMEOUT = 30.0
#: What a URL may start with: `file:` and `ftp:` are none of a server's business.
SCHEMES = ("https", "http")
#: Largest file that is fetched, in bytes; the published ones have under half a gigabyte.
MOST_BYTES = 16 * 2**30
#: Bytes that are read at once.
CHUNK = 2**17


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
        ValueError: If what came, or lay in the cache, has another hash; it is removed. If the URL is no https or http.
    """
    if isinstance(source, str):
        known = [entry for entry in TABLE.values() if entry.url == source]
        source = known[0] if known else source
    if isinstance(source, Weights):
        url, sha256, path = source.url, source.sha256, cache_folder() / source.file_name
    else:
        url, (sha256, path) = source, _of_url(source)
    if urlsplit(url).scheme.lower() not in SCHEMES:
        raise ValueError(f"Expected a URL that starts with https:// or http://, got {url}: pass a file by its path.")
    wrong = ""
    if path.is_file():
        digest = _sha256(path)
        if digest.startswith(sha256):
            return path
        wrong = f" The file that lay there has the SHA-256 {digest[:12]}... and was removed."
        path.unlink()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _fetch(url, path, sha256, progress)
    except (OSError, HTTPException) as error:  # URLError and HTTPError are OSErrors
        raise ConnectionError(
            f"Cannot download {url} ({error}).{wrong} Get the file elsewhere "
            f"(SHA-256 {f'starts with {sha256}' if sha256 else 'unknown'}) and put it at {path}: then it works offline."
        ) from error
    if not digest.startswith(sha256):
        raise ValueError(
            f"What {url} sent has the SHA-256 {digest[:12]}..., expected {sha256}...: it is damaged or another file, "
            f"and was not kept. Try again, or put the right file at {path}."
        )
    return path


class _FromServerToServer(HTTPRedirectHandler):
    """Follows a server's word to other servers only, and never from an encrypted connection to an open one."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in SCHEMES or (before == "https" and after == "http"):
            raise URLError(f"it sends on to {newurl}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fetch(url: str, path: Path, sha256: str, progress: bool) -> str:
    """Get a file; its SHA-256. It takes its name if that is the expected one, else nothing is left."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            digest = _receive(url, file, progress)
        if digest.startswith(sha256):
            os.chmod(partial, 0o644)  # mkstemp's are for the owner alone
            os.replace(partial, path)
    finally:
        Path(partial).unlink(missing_ok=True)
    return digest


def _receive(url: str, file: BinaryIO, progress: bool) -> str:
    """Write what a server sends into a file; its SHA-256."""
    digest, received = hashlib.sha256(), 0
    request = Request(url, headers={"User-Agent": "vig-pyg"})
    with build_opener(_FromServerToServer).open(request, timeout=TIMEOUT) as answer:
        length = answer.headers.get("Content-Length", "")
        size = int(length) if length.isascii() and length.isdigit() else None
        with tqdm(total=size, disable=not progress, unit="B", unit_scale=True, unit_divisor=1024) as bar:
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


def _of_url(url: str) -> tuple[str, Path]:
    """The hash in a URL's name, if any, and the place in the cache: two URLs may end alike."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1] or "weights"
    found = re.search(r"-([0-9a-f]{8,64})\.", name)
    place = f"{hashlib.sha256(url.encode()).hexdigest()[:12]}-{re.sub(r'[^A-Za-z0-9_.+=-]', '_', name)[-100:]}"
    return (found[1] if found else ""), cache_folder() / place


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
