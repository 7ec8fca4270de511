"""A stand-in for the Hub that gives the files of one repository, or fails in a way of its choice."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

REPO, COMMIT = "someone/films", "0123456789abcdef0123456789abcdef01234567"

Mode = Literal["well", "silent", "stalls", "404", "500", "wrong bytes"]


@dataclass
class Hub:
    """What a test sees and sets: how the Hub does, and what it was asked since."""

    files: Path
    mode: Mode = "well"
    url: str = ""
    asked: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def be(self, mode: Mode) -> None:
        self.mode, self.asked = mode, []


@contextmanager
def standing_in(files: Path) -> Iterator[Hub]:
    """Serve the ``files`` of a folder as those of ``REPO`` at ``COMMIT``."""
    hub = Hub(files)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            mode = hub.mode
            hub.asked.append(self.path)
            name = self.path.rpartition("/")[2]
            if mode == "silent":
                hub.ended.wait(60)
            elif mode in ("404", "500"):
                self.send_response(int(mode))
                self.send_header("X-Error-Code", "EntryNotFound" if mode == "404" else "")
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif self.path == f"/{REPO}/resolve/{COMMIT}/{name}":
                data = (hub.files / name).read_bytes()
                etag = hashlib.sha256(data).hexdigest()
                self.send_response(200)
                self.send_header("ETag", f'"{etag}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if mode == "wrong bytes":
                    data = bytes(len(data))
                self.wfile.write(data[: len(data) // 2] if mode == "stalls" else data)
                if mode == "stalls":
                    hub.ended.wait(60)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
