"""The proxy in front of a sleeping Space: refuses as Hugging Face does, forwards, and breaks connections on demand."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
from starlette.datastructures import Headers

from predictors.errors import Busy
from space.refusals import told_by_http
from tests.clients.stages import Stages

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Cut = Literal["upload", "join", "joined", "stream", "answer"]

_HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"content-length"}
_UPLOAD = re.compile(r"^/gradio_api/upload$")
_JOIN = re.compile(r"^/gradio_api/(queue/join|call/\w+)$|^/api/\w+/|^/run/")
_STREAM = re.compile(r"^/gradio_api/(queue/data|call/\w+/\w+)$")
_ANSWERED = (b"process_completed", b"event: complete", b"event: error")

_PAGE = """<!DOCTYPE html>
<html class="">
<head><meta charset="utf-8" /><title>{title}</title></head>
<body><main><h1>{title}</h1><p>{text}</p><p><a href="https://huggingface.co">Hugging Face</a></p></main></body>
</html>
"""
_TEXTS = {
    429: ("429", "We had to rate limit you. If you think it's an error, send us an email."),
    502: ("502 Bad Gateway", "The Space did not answer."),
    503: ("Your space is in error, check its status on hf.co", "This Space is sleeping, or being prepared."),
    504: ("504 Gateway Timeout", "The Space did not answer in time."),
}


@dataclass
class Faults:
    """What shall go wrong next; each is used up as it happens."""

    cuts: dict[Cut, int] = field(default_factory=dict)
    restart_at_cut: bool = False
    statuses: list[tuple[int, float | None]] = field(default_factory=list)  # status and Retry-After in seconds
    queue_full: int = 0
    hold: float = 0  # seconds before the next event stream says anything

    def cut(self, place: Cut) -> bool:
        """Whether the connection breaks here."""
        if not self.cuts.get(place):
            return False
        self.cuts[place] -= 1
        return True


def token(headers: Headers) -> str | None:
    """What the caller shows to be let in."""
    return headers.get("authorization") or headers.get("x-hf-authorization")


class Proxy:
    """An ASGI app that stands where ``https://<owner>-<space>.hf.space`` would."""

    def __init__(self, stages: Stages) -> None:
        self.faults = Faults()
        self.requests: list[dict[str, Any]] = []
        self._stages = stages
        self._client = httpx.AsyncClient(timeout=None, trust_env=False, limits=httpx.Limits())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, noted; refused, broken or forwarded."""
        path, method = scope["path"], scope["method"]
        headers = Headers(scope=scope)
        seen = {"method": method, "path": path, "key": headers.get("idempotency-key"), "token": token(headers)}
        self.requests.append(seen)
        exchange = _Exchange(scope, receive, send, seen)
        if not await self._stages.knock():
            await exchange.refuse(503)
        elif self.faults.statuses:
            await exchange.refuse(*self.faults.statuses.pop(0))
        elif method == "POST" and _UPLOAD.match(path) and self.faults.cut("upload"):
            await receive()
            self._break(exchange)
        elif method == "POST" and _JOIN.match(path) and self.faults.cut("join"):
            self._break(exchange)
        elif method == "POST" and _JOIN.match(path) and self.faults.queue_full:
            self.faults.queue_full -= 1
            full = told_by_http(Busy())
            await exchange.answer(503, full.body, "application/json", float(full.headers["retry-after"]))
        else:
            await self._forward(exchange)

    async def _forward(self, exchange: "_Exchange") -> None:
        """Hand the request to the app and its answer back, piece by piece, until either side goes away."""
        app = self._stages.app
        assert app is not None
        request = self._client.build_request(
            exchange.method,
            httpx.URL(app.url).copy_with(raw_path=exchange.raw_path),
            headers=exchange.request_headers,
            content=exchange.body() if exchange.has_body else None,
        )
        try:
            response = await self._client.send(request, stream=True)
        except httpx.TransportError:
            await exchange.refuse(502)
            return
        try:
            answering = asyncio.ensure_future(self._answer(exchange, response))
            leaving = asyncio.ensure_future(exchange.left())
            await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (answering, leaving):
                task.cancel()
            await asyncio.gather(answering, leaving, return_exceptions=True)
        finally:
            await response.aclose()

    async def _answer(self, exchange: "_Exchange", response: httpx.Response) -> None:
        streams = bool(_STREAM.match(exchange.path))
        joins = exchange.method == "POST" and _JOIN.match(exchange.path)
        gradio = exchange.path.startswith("/gradio_api")
        if joins and self.faults.cut("joined" if gradio else "answer"):
            self._break(exchange)
            return
        if streams and self.faults.hold:
            held, self.faults.hold = self.faults.hold, 0
            await asyncio.sleep(held)
        await exchange.begin(response)
        try:
            async for piece in _messages(response) if streams else response.aiter_raw():
                if streams and any(sign in piece for sign in _ANSWERED) and self.faults.cut("answer"):
                    self._break(exchange)
                    return
                await exchange.more(piece)
                if streams and self.faults.cut("stream"):
                    self._break(exchange)
                    return
        except httpx.TransportError:
            exchange.abort()
        else:
            await exchange.end()

    def _break(self, exchange: "_Exchange") -> None:
        exchange.abort()
        if self.faults.restart_at_cut:
            self.faults.restart_at_cut = False
            self._stages.restart()


async def _messages(response: httpx.Response) -> AsyncIterator[bytes]:
    """A stream of server-sent events, one whole message at a time."""
    rest = b""
    async for piece in response.aiter_raw():
        *whole, rest = (rest + piece).split(b"\n\n")
        for message in whole:
            yield message + b"\n\n"
    if rest:
        yield rest


class _Exchange:
    """One request and its answer, as uvicorn hands them over."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, seen: dict[str, Any]) -> None:
        self.method, self.path = str(scope["method"]), str(scope["path"])
        query = scope["query_string"]
        self.raw_path = scope["raw_path"] + (b"?" + query if query else b"")
        self.request_headers = [pair for pair in scope["headers"] if pair[0].lower() not in {b"connection"}]
        self.has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        self._receive, self._send, self._seen = receive, send, seen

    async def body(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise httpx.ReadError("the caller left")
            yield message.get("body", b"")
            if not message.get("more_body"):
                return

    async def left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def begin(self, response: httpx.Response) -> None:
        self._seen["status"] = response.status_code
        length = response.headers.get("content-length")
        headers = [pair for pair in response.headers.raw if pair[0].lower() not in _HOP_BY_HOP]
        headers += [(b"content-length", length.encode())] if length else []
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})

    async def more(self, piece: bytes) -> None:
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Break the connection under the request, as ASGI itself has no word for."""
        self._seen["status"] = "cut"
        self._receive.__self__.transport.abort()  # type: ignore[attr-defined]  # uvicorn's cycle

    async def refuse(self, status: int, retry_after: float | None = None) -> None:
        title, text = _TEXTS.get(status, (str(status), ""))
        await self.answer(status, _PAGE.format(title=title, text=text).encode(), "text/html", retry_after)

    async def answer(self, status: int, body: bytes, kind: str, retry_after: float | None = None) -> None:
        self._seen["status"] = status
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        if retry_after is not None:
            headers.append((b"retry-after", f"{retry_after:g}".encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})
