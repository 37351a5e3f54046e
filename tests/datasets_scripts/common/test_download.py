"""Downloads go on where they stopped, from a server on the loopback interface that can misbehave."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from seqformers.datasets_scripts.common.download import download

CONTENT = bytes((i * 7 + i // 256) % 256 for i in range(300_000))


class Server:
    """Serves one body by HTTP Range; `break_after` cuts each of the next answers short by closing the connection."""

    def __init__(self):
        self.body, self.etag, self.breaks, self.ranges, self.use_ranges = CONTENT, '"one"', [], [], True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path != "/data/file.bin":
                    self.send_error(404)
                    return
                asked = self.headers.get("Range")
                outer.ranges.append(asked)
                first = 0
                if asked and outer.use_ranges and self.headers.get("If-Range") == outer.etag:
                    first = int(asked.removeprefix("bytes=").removesuffix("-"))
                body = outer.body[first:]
                self.send_response(206 if first else 200)
                self.send_header("ETag", outer.etag)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                stop = outer.breaks.pop(0) if outer.breaks else len(body)
                self.wfile.write(body[:stop])

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/data/file.bin"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    one = Server()
    yield one
    one.server.shutdown()


def test_a_file_is_fetched_once(server, tmp_path):
    for _ in range(2):
        assert download(server.url, tmp_path, checksum=hashlib.sha256(CONTENT).hexdigest()).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_broken_connections_go_on(server, tmp_path):
    server.breaks = [100_000, 50_000]
    assert download(server.url, tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_a_second_run_goes_on(server, tmp_path):
    server.breaks = [1_000, 0, 0, 0]
    with pytest.raises(OSError, match="run it again to go on"):
        download(server.url, tmp_path, attempts=3)
    before = len(server.ranges)
    server.breaks = []
    assert download(server.url, tmp_path).read_bytes() == CONTENT
    assert server.ranges[before:] == ["bytes=1000-"]


def test_a_changed_file_starts_again(server, tmp_path):
    server.breaks = [1_000, 0]
    with pytest.raises(OSError, match="broke after"):
        download(server.url, tmp_path, attempts=1)
    server.body, server.etag, server.breaks = CONTENT[::-1], '"two"', []
    assert download(server.url, tmp_path).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.breaks, server.use_ranges = [1_000], False
    assert download(server.url, tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_deletes_the_file(server, tmp_path):
    with pytest.raises(ValueError, match=r"expected 0{32}"):
        download(server.url, tmp_path, checksum="0" * 32)
    assert not (tmp_path / "file.bin").exists()
    assert download(server.url, tmp_path, checksum=hashlib.md5(CONTENT).hexdigest()).exists()


def test_a_missing_file_is_named(server, tmp_path):
    with pytest.raises(OSError, match="the server answers 404"):
        download(server.url + "x", tmp_path)
    with pytest.raises(ValueError, match="only http"):
        download("ftp://127.0.0.1/x", tmp_path)
