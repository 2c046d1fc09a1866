"""An HTTP server of one file that misbehaves as it is told, in a thread."""

import base64
import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Served:
    """What is served, how, and what was asked."""

    content: bytes
    ranges: bool = True
    tag: str | None = '"one"'
    cut_after: list[int] = field(default_factory=list)
    """Bytes after which the next connections are cut, one each."""
    login: str | None = None
    status: int = 200
    to: str | None = None
    """Where it sends on to."""
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving(served: Served, context: ssl.SSLContext | None = None) -> Iterator[Served]:
    """The file under `served.url`, until the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append({name.title(): value for name, value in self.headers.items()})
            if served.to is not None:
                self.send_response(302)
                self.send_header("Location", served.to)
                self.end_headers()
                return
            expected = f"Basic {base64.b64encode((served.login or '').encode()).decode()}"
            if served.login and self.headers.get("Authorization") != expected:
                self.send_error(401)
                return
            if served.status != 200:
                self.send_error(served.status)
                return
            start, wanted = 0, self.headers.get("Range")
            if wanted and served.ranges and self.headers.get("If-Range") == served.tag:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(served.content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(served.content)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(served.content) - 1}/{len(served.content)}")
            else:
                self.send_response(200)
            if served.tag:
                self.send_header("ETag", served.tag)
            self.send_header("Content-Length", str(len(served.content) - start))
            self.end_headers()
            rest = served.content[start:]
            if served.cut_after:
                rest = rest[: served.cut_after.pop(0)]
                self.close_connection = True
            self.wfile.write(rest)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    served.url = f"{'https' if context else 'http'}://127.0.0.1:{server.server_port}/data.zip"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
