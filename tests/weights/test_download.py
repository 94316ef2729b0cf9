import hashlib
import re
import socket
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.request import OpenerDirector

import pytest
import torch

from tests.terminal import Stderr
from tests.weights.common import closed_address, copied, drawn, file_content, make_entry, official_file, same, serving
from vig_pyg import vig_micro, weights

PAGE = b"<!DOCTYPE html><title>Sign in</title>"


@pytest.fixture
def published():
    """A model and the content of a file with its weights, as published."""
    model = drawn(vig_micro())
    return model, official_file(model)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_file_is_downloaded_once(home, published, capsys):
    model, content = published
    with serving({"/vig.pth.tar": content}) as (address, asked):
        entry = make_entry(f"{address}/vig.pth.tar", content)
        path = weights.download(entry, progress=False)
        assert path == home / "checkpoints" / "vig.pth.tar" and path.read_bytes() == content
        assert weights.download(entry) == path and asked == ["/vig.pth.tar"]
        assert path.stat().st_mode & 0o777 == 0o644  # others may read it
    assert files(home) == ["vig.pth.tar"]
    assert capsys.readouterr().err == ""
    fresh = vig_micro()
    weights.load_weights(fresh, entry)  # the server is gone
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize(("terminal", "progress"), [(True, True), (True, False), (False, True)])
def test_progress_is_shown_on_a_terminal_when_wanted(published, monkeypatch, terminal, progress):
    _, content = published
    monkeypatch.setattr("sys.stderr", text := Stderr(terminal=terminal))
    with serving({"/vig.pth": content}) as (address, _):
        weights.download(make_entry(f"{address}/vig.pth", content), progress=progress)
    assert (" 0 % 0.00/" in text.getvalue()) == (terminal and progress)


def test_without_network_the_message_says_what_to_do_and_then_it_works_offline(home, published):
    model, content = published
    entry = make_entry(f"{closed_address()}/releases/vig.pth.tar", content)
    fresh = vig_micro()
    before = copied(fresh)
    with pytest.raises(ConnectionError) as caught:
        weights.load_weights(fresh, entry)
    message = str(caught.value)
    assert message.count("\n") == 0
    assert message.startswith(f"Cannot download {entry.url} (") and "refused" in message
    assert f"SHA-256 starts with {entry.sha256}" in message
    place = re.search(r"put it at (\S+): then it works offline", message)[1]
    assert place == str(home / "checkpoints" / "vig.pth.tar")
    assert files(home) == [] and same(fresh.state_dict(), before)

    with open(place, "wb") as file:
        file.write(content)
    weights.load_weights(fresh, entry)
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-3, "Temporary failure in name resolution"), "the address of the server was not found: is"),
        (socket.gaierror(-2, "Name or service not known"), "the address of the server was not found: is this computer"),
        (OSError(101, "Network is unreachable"), "Network is unreachable"),
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        ("no host given", "no host given"),
    ],
)
def test_reasons_are_words_without_the_names_of_errors(home, published, monkeypatch, error, said):
    def fail(*_, **__):
        raise URLError(error)

    monkeypatch.setattr(OpenerDirector, "open", fail)
    entry = make_entry("https://example.org/vig.pth", published[1])
    with pytest.raises(ConnectionError) as caught:
        weights.download(entry, progress=False)
    message = str(caught.value)
    assert message.startswith(f"Cannot download {entry.url} ({said}")
    assert "urlopen" not in message and "Errno" not in message and "<" not in message
    assert message.endswith(
        f"put it at {home / 'checkpoints' / 'vig.pth'}: then it works offline. Or keep it elsewhere, and pass its path "
        "as the weights."
    )


def test_a_plain_url_says_where_its_file_goes_too(home, published):
    model, content = published
    url = f"{closed_address()}/mine.pth?download=1"
    with pytest.raises(ConnectionError, match=r"SHA-256 unknown\) and put it at") as caught:
        weights.load_weights(vig_micro(), url)
    place = re.search(r"put it at (\S+): then", str(caught.value))[1]
    assert place.endswith("-mine.pth")
    with open(place, "wb") as file:
        file.write(content)
    fresh = vig_micro()
    assert weights.load_weights(fresh, url).source == url
    assert same(fresh.state_dict(), model.state_dict())


SPOILT = {
    "cut short": lambda content: content[: len(content) // 2],
    "cut short on the way": lambda content: (200, content[: len(content) // 2], len(content)),
    "page": lambda _: PAGE,
    "empty": lambda _: b"",
    "another file": lambda _: file_content(vig_micro().state_dict()),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_an_answer_with_another_hash_is_refused_and_not_kept(home, published, kind):
    _, content = published
    with serving({"/vig.pth": SPOILT[kind](content)}) as (address, _):
        entry = make_entry(f"{address}/vig.pth", content)
        with pytest.raises(ValueError, match=rf"SHA-256 \w{{12}}\.\.\., expected {entry.sha256}\.\.\."):
            weights.download(entry, progress=False)
    assert files(home) == []


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("cut short", "damaged, truncated"),
        ("cut short on the way", "damaged"),
        ("page", "web page"),
        ("empty", "empty"),
    ],
)
def test_a_broken_answer_of_unknown_hash_is_refused_and_not_kept(home, published, kind, message):
    _, content = published
    with serving({"/vig.pth": SPOILT[kind](content)}) as (address, _), pytest.raises(ValueError, match=message):
        weights.load_weights(vig_micro(), f"{address}/vig.pth", progress=False)
    assert files(home) == []


def test_an_error_of_the_server_is_told(home, published):
    _, content = published
    with (
        serving({"/busy.pth": (503, PAGE, None)}) as (address, _),
        pytest.raises(ConnectionError, match=r"gone.pth \(HTTP Error 404: Not Found\)"),
    ):
        weights.download(make_entry(f"{address}/gone.pth", content))
    with (
        serving({"/busy.pth": (503, PAGE, None)}) as (address, _),
        pytest.raises(ConnectionError, match=r"busy.pth \(HTTP Error 503: Service Unavailable\)"),
    ):
        weights.download(f"{address}/busy.pth")
    assert files(home) == []


def test_a_server_that_says_nothing_is_left_after_a_while(monkeypatch, published):
    monkeypatch.setattr(sys.modules["vig_pyg.weights.download"], "TIMEOUT", 0.1)  # the name is the function's too
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/vig.pth"
        with pytest.raises(ConnectionError, match="timed out"):
            weights.download(url)
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "ftp://127.0.0.1/a.pth",
        "data:,weights",
        "/a.pth",
        "a.pth",
        "",
        "s3://a",
    ],
)
def test_only_addresses_of_servers_are_asked(home, url):
    with pytest.raises(ValueError, match=r"Expected a URL that starts with https:// or http://, got"):
        weights.download(url, progress=False)
    assert files(home) == []


class Server(BaseHTTPRequestHandler):
    """A server that means no good: it sends on to where its path says, or never ends."""

    def do_GET(self):
        self.close_connection = True
        if self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.end_headers()
        elif self.path == "/claims":
            self.send_response(200)
            self.send_header("Content-Length", str(2**60))
            self.end_headers()
        elif self.path == "/endless":
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):  # until nobody listens
                while True:
                    self.wfile.write(b"x" * 2**16)
        else:  # more than it said
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"12345" * 1000)

    def log_message(self, *_):
        pass


@pytest.fixture
def stranger():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/a.pth", "data:,weights", "/to/file:///etc/passwd"]
)
def test_a_server_cannot_send_us_to_a_file(home, stranger, target):
    with pytest.raises(ConnectionError, match=r"not followed|is not allowed"):
        weights.download(f"{stranger}/to/{target}", progress=False)
    assert files(home) == []


def test_a_server_may_send_us_to_another(home, stranger, published):
    model, content = published
    with serving({"/vig.pth": content}) as (address, _):
        weights.load_weights(fresh := vig_micro(), f"{stranger}/to/{address}/vig.pth", progress=False)
    assert same(fresh.state_dict(), model.state_dict())


def test_an_encrypted_connection_stays_one():
    module = sys.modules["vig_pyg.weights.download"]
    follow = module._FromServerToServer().redirect_request
    before = module.Request("https://example.org/a.pth")
    with pytest.raises(OSError, match=r"redirects to http://example.org/b.pth, which is not followed"):
        follow(before, None, 302, "Found", {}, "http://example.org/b.pth")
    assert follow(before, None, 302, "Found", {}, "https://example.org/b.pth").full_url == "https://example.org/b.pth"


def test_a_circle_of_servers_ends(home, stranger):
    with pytest.raises(ConnectionError, match="infinite loop"):
        weights.download(f"{stranger}/to//to/x/..//to/", progress=False)
    assert files(home) == []


def test_whether_there_is_a_bar_is_said_by_name():
    with pytest.raises(TypeError, match="positional argument"):
        weights.download("http://127.0.0.1/a.pth", False)


@pytest.mark.parametrize("path", ["/endless", "/claims"])
def test_a_file_without_end_is_left(home, stranger, monkeypatch, path):
    monkeypatch.setattr(sys.modules["vig_pyg.weights.download"], "MOST_BYTES", 2**20)
    with pytest.raises(ConnectionError, match="it is larger than 1048576 bytes"):
        weights.download(stranger + path, progress=False)
    assert files(home) == []


def test_no_more_is_taken_than_was_declared(home, stranger):
    assert weights.download(f"{stranger}/more", progress=False).read_bytes() == b"12345"


@pytest.mark.parametrize(
    "name",
    ["a%00b.pth", "..%2F..%2Fevil.pth", "%2e%2e", "a%0Ab.pth", "a" * 400 + ".pth", "%F0%9F%90%88.pth", "a%5Cb.pth", ""],
)
def test_any_name_is_a_file_in_the_cache(home, stranger, name):
    path = weights.download(f"{stranger}/x/{name}", progress=False)
    assert path.read_bytes() == b"12345" and path.parent == home / "checkpoints"
    assert path.name.isprintable() and path.name.isascii() and len(path.name) <= 12 + 1 + 100
    assert len(path.name) == 113 or len(name) < 100


def test_a_link_in_the_cache_is_replaced_not_written_through(home, tmp_path, published):
    _, content = published
    mine, place = tmp_path / "mine.pth", home / "checkpoints" / "vig.pth"
    place.parent.mkdir()
    for target in (mine, tmp_path / "nowhere.pth"):
        mine.write_bytes(b"precious")
        place.unlink(missing_ok=True)
        place.symlink_to(target)
        with serving({"/vig.pth": content}) as (address, _):
            assert weights.download(make_entry(f"{address}/vig.pth", content), progress=False) == place
        assert not place.is_symlink() and place.read_bytes() == content
        assert mine.read_bytes() == b"precious" and not (tmp_path / "nowhere.pth").exists()


def test_a_wrong_file_in_the_cache_is_replaced(home, published):
    _, content = published
    place = home / "checkpoints" / "vig.pth"
    place.parent.mkdir()
    place.write_bytes(content[:-1])
    with serving({"/vig.pth": content}) as (address, _):
        assert weights.download(make_entry(f"{address}/vig.pth", content), progress=False).read_bytes() == content


def test_a_wrong_file_in_the_cache_without_network_is_told(home, published):
    _, content = published
    place = home / "checkpoints" / "vig.pth"
    place.parent.mkdir()
    place.write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()[:12]
    with pytest.raises(
        ConnectionError, match=rf"The existing file had the SHA-256 {digest}\.\.\. and was removed\. Get the"
    ):
        weights.download(make_entry(f"{closed_address()}/vig.pth", content))
    assert files(home) == []


def test_the_hash_in_a_name_is_checked(home, published):
    _, content = published
    good, bad = (f"/vig-{digest}.pth" for digest in (hashlib.sha256(content).hexdigest()[:10], "0123456789"))
    with serving({good: content, bad: content}) as (address, _):
        assert weights.download(address + good, progress=False).read_bytes() == content
        with pytest.raises(ValueError, match=r"expected 0123456789\.\.\."):
            weights.download(address + bad, progress=False)
    assert len(files(home)) == 1


def test_two_urls_that_end_alike_are_two_files(home):
    with serving({"/a/model.pth": file_content({"a": 1}), "/b/model.pth": file_content({"b": 2})}) as (address, _):
        one, two = (weights.download(f"{address}/{name}/model.pth", progress=False) for name in "ab")
    assert one != two and one.read_bytes() != two.read_bytes()


def test_a_url_of_the_table_is_known(home, published, monkeypatch):
    _, content = published
    entry = make_entry(f"{closed_address()}/vig.pth", content)
    monkeypatch.setitem(weights.TABLE, entry.name, entry)
    with pytest.raises(ConnectionError, match=f"starts with {entry.sha256}.*checkpoints/vig.pth:"):
        weights.download(entry.url)


def test_the_cache_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("VIG_PYG_HOME", str(tmp_path / "ours"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert weights.cache_folder() == tmp_path / "ours" / "checkpoints"
    monkeypatch.setenv("VIG_PYG_HOME", "~/mine")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert weights.cache_folder() == tmp_path / "mine" / "checkpoints"
    monkeypatch.delenv("VIG_PYG_HOME")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert weights.cache_folder() == tmp_path / "torch" / "hub" / "checkpoints"


def test_ctrl_c_leaves_nothing(home, published, monkeypatch):
    _, content = published

    def stop(*_, **__):
        raise KeyboardInterrupt

    with serving({"/vig.pth": content}) as (address, _):
        monkeypatch.setattr(sys.modules["vig_pyg.weights.download"], "tqdm", stop)
        with pytest.raises(KeyboardInterrupt):
            weights.download(make_entry(f"{address}/vig.pth", content))
    assert files(home) == []
