"""Films sent by HTTP as lightly as Python can: what the caller does is no part of what is measured."""

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

PATIENCE = 120.0
"""Seconds after which a request counts as failed."""

BUSY = 503

IDLE = 4.0
"""Seconds after which a connection is not used again: servers close it themselves before long (uvicorn after five)."""

_BOUNDARY = "a-film-for-the-benchmark"


@dataclass(frozen=True)
class Body:
    """What is sent, made once and sent many times."""

    content: bytes
    kind: str

    @classmethod
    def form(cls, name: str, film: bytes) -> Self:
        """A multipart form with the one file ``film`` in the field ``name``."""
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="film.jpg"\r\n'
        content = head.encode() + b"Content-Type: image/jpeg\r\n\r\n" + film + f"\r\n--{_BOUNDARY}--\r\n".encode()
        return cls(content, f"multipart/form-data; boundary={_BOUNDARY}")

    @classmethod
    def json(cls, value: object) -> Self:
        """``value`` as JSON."""
        return cls(json.dumps(value).encode(), "application/json")


class Refused(Exception):
    """The server answered with something else than 200."""

    def __init__(self, status: int, body: bytes, retry_after: int) -> None:
        super().__init__(f"{status} {body[:200]!r}")
        self.status = status
        self.retry_after = retry_after  # seconds


@dataclass
class Wire:
    """A connection to one server, kept from request to request where the server keeps it too."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        place = urlsplit(self.url)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)
        self._used = time.monotonic()

    def post(self, path: str, body: Body) -> Any:
        """The JSON that the server answers; raises Refused, OSError or http.client.HTTPException."""
        return json.loads(self._answer("POST", path, body.content, {**self.headers, "Content-Type": body.kind}))

    def text(self, path: str) -> str:
        """What is read at ``path``, to its end."""
        return self._answer("GET", path, None, self.headers).decode()

    def _answer(self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]) -> bytes:
        if time.monotonic() - self._used > IDLE:
            self._connection.close()  # the request opens another
        try:
            self._connection.request(method, path, content, dict(headers))
            reply = self._connection.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        finally:
            self._used = time.monotonic()
        if reply.status != http.client.OK:
            retry_after = reply.headers.get("Retry-After", "")
            raise Refused(reply.status, body, int(retry_after) if retry_after.isdigit() else 1)
        return body
