"""How large a request may be, how slow, and how many may be open at once: kept for every address, before it is asked.

The limits hold for what arrives, whatever length was declared. A body that breaks one is cut off where it does so.
"""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictors.errors import Busy, FileTooLarge, MissingFile, SecondLookError
from predictors.image import MAX_BYTES
from predictors.predictor import MAX_BATCH
from space.refusals import told_to_any_page
from space.room import Room

ENVELOPE = 1024 * 1024
"""Bytes of a request that are not film: boundaries, part headers, other fields, JSON."""

LARGEST = (
    (("/gradio_api/upload", "/api/", "/run/"), ENVELOPE + MAX_BATCH * MAX_BYTES),
    (("/gradio_api/mcp",), ENVELOPE + MAX_BYTES * 4 // 3),  # one film, in base64
    (("/gradio_api/",), ENVELOPE),
)
"""Bytes that a body may have, by how its address begins. Elsewhere nothing is sent, and 64 KiB are let pass."""

ELSEWHERE = 64 * 1024

STALL = 20.0
"""Seconds without a byte after which an upload is given up."""

GRACE, SLOWEST = 30.0, 8 * 1024
"""After ``GRACE`` seconds a body must have come at this many bytes a second on average."""

LONGEST = 600.0
"""Seconds that any body may take: a batch of 200 MB at 2.8 Mbit/s."""

LINGER = 5.0
"""Seconds for which the rest of a refused body is read and thrown away, so that its sender gets to read the refusal:
a connection closed on unread bytes takes the answer with it."""

MOST_OPEN = 500
"""Requests that may be open at once, pages that only listen among them; below the 1,024 files of a usual process."""

ALWAYS = ("/health", "/ready", "/metrics")
"""Answered however many are open: whoever watches the service must be able to see that it is full."""

_TOO_SLOW = "The upload stopped or came too slowly; send the radiograph again."
_TWO_LENGTHS = "The request gives its length in two ways; send it with one of them."


class CutOff(MultiPartException):
    """Raised to whoever reads a body that was cut off. Form parsers take their files away when they meet it."""


class Bodies:
    """Around everything: every request's body, and how many requests are open."""

    def __init__(self, app: ASGIApp, room: Room) -> None:
        self._app, self._room = app, room
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._open >= MOST_OPEN and scope["path"] not in ALWAYS:
            await told_to_any_page(Busy(), scope)(scope, receive, send)
            return
        self._open += 1
        body = _Body(scope, receive, send, self._room)
        try:
            await body.answered_by(self._app)
        finally:
            self._open -= 1
            body.forget()


class _Body:
    """One request's body on its way in, and the answer on its way out."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, room: Room) -> None:
        headers = Headers(scope=scope)
        self._scope, self._receive, self._send, self._room = scope, receive, send, room
        self._limit = largest(scope["path"])
        self._declared = int(headers.get("content-length", 0))  # the server has checked that it is a number
        self._ended = not self._declared and "transfer-encoding" not in headers
        self._ambiguous = "content-length" in headers and "transfer-encoding" in headers
        self._came, self._began = 0, time.monotonic()
        self._refusal: SecondLookError | None = None
        self._started = self._told = False

    async def answered_by(self, app: ASGIApp) -> None:
        """Let ``app`` read and answer; if the body was cut off, whatever it answers becomes the refusal."""
        if self._ambiguous:  # how one request is smuggled past a proxy inside another
            self._refusal = MissingFile(_TWO_LENGTHS)
            await self._tell()
            return
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            if self._refusal is None:
                raise
        if self._refusal and not self._started:
            await self._tell()

    def forget(self) -> None:
        """The request is over: its bytes are in nobody's way any more."""
        self._room.leave(self._came)

    # In

    async def receive(self) -> Message:
        """The next piece of the body, or CutOff."""
        if self._ended:
            return await self._receive()
        if self._refusal:
            raise CutOff(str(self._refusal))
        try:
            self._check()
            async with asyncio.timeout(self._patience()):
                message = await self._receive()
            self._count(message)
            self._check()
            return message
        except TimeoutError:
            self._refusal = MissingFile(_TOO_SLOW)
        except SecondLookError as error:
            self._refusal = error
        raise CutOff(str(self._refusal))

    def _count(self, message: Message) -> None:
        came = len(message.get("body", b""))
        self._came += came
        self._room.enter(came)
        self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)

    def _check(self) -> None:
        if max(self._came, self._declared) > self._limit:
            raise FileTooLarge
        if self._limit > ENVELOPE and self._room.full:
            raise Busy

    def _patience(self) -> float:
        """Seconds to wait for the next piece."""
        now = time.monotonic()
        by_rate = self._began + GRACE + self._came / SLOWEST
        return max(0.0, min(now + STALL, by_rate, self._began + LONGEST) - now)

    # Out

    async def send(self, message: Message) -> None:
        """Pass the answer on, or ours in its place; if the body was not read to its end, the connection closes."""
        if self._told:
            return
        if message["type"] == "http.response.start":
            self._started = True
            if self._refusal:
                await self._tell()
                return
            if not self._ended:
                message = {**message, "headers": [*message["headers"], _CLOSE]}
        elif not self._ended and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)

    async def _tell(self) -> None:
        self._started = self._told = True
        assert self._refusal  # noqa: S101
        ours = told_to_any_page(self._refusal, self._scope)
        start = {"type": "http.response.start", "status": ours.status_code}
        await self._send({**start, "headers": [*ours.raw_headers, _CLOSE]})
        await self._send({"type": "http.response.body", "body": ours.body, "more_body": True})
        await self._linger()
        await self._send({"type": "http.response.body", "body": b""})

    async def _linger(self) -> None:
        try:
            async with asyncio.timeout(LINGER):
                while not self._ended:
                    message = await self._receive()
                    self._ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        except TimeoutError:
            self._ended = True


_CLOSE = (b"connection", b"close")


def largest(path: str) -> int:
    """Bytes that a body sent to ``path`` may have."""
    return next((limit for beginnings, limit in LARGEST if path.startswith(beginnings)), ELSEWHERE)
