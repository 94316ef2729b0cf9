"""What tests of weights share."""

import hashlib
import io
import socket
import threading
from argparse import Namespace
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import torch

from vig_pyg import pvig_micro, vig_micro, weights
from vig_pyg.preprocess import Preprocessing

FORMATS = ["native", "official", "mmpretrain"]
FAMILIES = {"vig": vig_micro, "pvig": pvig_micro}


def drawn(model):
    """The model with other numbers everywhere, in buffers too."""
    for tensor in model.state_dict().values():
        tensor.copy_(torch.randint(9, tensor.shape)) if tensor.dtype == torch.long else tensor.uniform_(0.1, 1)
    return model


def copied(model):
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def same(one, two):
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


class Payload:
    """What a hostile file would hold: code that runs while it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w').close()",)


@contextmanager
def serving(answers):
    """A server on this machine: its address, and the paths that were asked for.

    `answers` has a body, or a status and a body and a length to claim, for each path; other paths are not found.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            answer = answers.get(self.path.split("?")[0], (404, b"<html>no such page</html>", None))
            status, body, length = answer if isinstance(answer, tuple) else (200, answer, None)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if length is None else length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def closed_address():
    """An address on this machine where nobody answers."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{door.getsockname()[1]}"


def file_content(state):
    """What `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def make_entry(url, content, *, model="vig_micro", tag="imagenet1k", size=32):
    """An entry of the table of weights, made for a test."""
    return weights.Weights(
        model=model,
        tag=tag,
        format="official",
        url=url,
        sha256=hashlib.sha256(content).hexdigest()[:8],
        preprocessing=Preprocessing(image_size=size, crop_pct=0.9),
        top1=50.0,
        top5=75.0,
        params=0.2,
        gmacs=0.1,
    )


def official_file(model):
    """A file as the published ones are, for the model's variant."""
    state = {f"module.{key}": tensor for key, tensor in weights.convert(model, "official").items()}
    return file_content({"state_dict": state, "args": Namespace(model="published", lr=2e-3), "epoch": 299})
