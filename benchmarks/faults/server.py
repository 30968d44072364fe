"""A web server on this machine that is slow, knows ranges, and hangs up now and then if it is told to."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_PIECE = 1 << 13


class Server(ThreadingHTTPServer):
    """Serves one body.

    Parameters
    ----------
    body : bytes
    rate : float
        Bytes a second, about.
    """

    daemon_threads = True

    def __init__(self, body: bytes, rate: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.body, self.rate, self.sent, self.drops = body, rate, 0, 0
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/far.bin"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that are gone: they were killed."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """Answer with the body from the byte on that is asked for."""
        body, asked = self.server.body, self.headers.get("Range")
        self.server.asked.append(asked)
        first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if first >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - first))
        self.end_headers()
        last = len(body)
        if self.server.drops:
            self.server.drops -= 1
            last = first + (len(body) - first) // 3
        for start in range(first, last, _PIECE):
            piece = body[start : min(start + _PIECE, last)]
            self.wfile.write(piece)
            self.server.sent += len(piece)
            time.sleep(_PIECE / self.server.rate)

    def log_message(self, *args: object) -> None:
        """Say nothing."""
