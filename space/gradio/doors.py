"""Which of Gradio's addresses are open, and what its callers are told when it fails.

Gradio brings some eighty addresses: developers' tools, logins, recordings, proxies, and whatever the next version
adds. Those that the page and its clients need are listed here; the others are not there.
"""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import httpx
from gradio.exceptions import InvalidPathError
from gradio.route_utils import FnIndexInferError
from gradio.utils import get_upload_folder
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictors.errors import Busy, FileTooLarge, InternalError, MissingFile, SecondLookError
from space.http.addresses import MethodNotAllowed, NotFound
from space.refusals import foreseen, told_by_http

OPEN = {
    # the page
    r"/": "GET HEAD",
    r"/config/?": "GET",
    r"/(static|assets)/.+": "GET",
    r"(/gradio_api)?/theme\.css": "GET",
    r"/(favicon\.ico|manifest\.json|robots\.txt)": "GET",
    # what its clients ask first, and so long as they are there
    r"/gradio_api/(info/?|openapi\.json|app_id|heartbeat/[^/]+)": "GET",
    # a film comes in
    r"/gradio_api/upload": "POST",
    r"/gradio_api/upload_progress": "GET",
    # a question, its answer, and a change of mind
    r"/gradio_api/call/(v2/)?[^/]+/?": "POST",
    r"/gradio_api/call/(v2/)?[^/]+/[^/]+": "GET",
    r"/gradio_api/queue/join": "POST",
    r"/gradio_api/queue/data": "GET",
    r"/gradio_api/run/[^/]+/?": "POST",  # the page's "Clear", which waits in no queue
    r"/gradio_api/(cancel|reset/?)": "POST",
    r"/gradio_api/file=.+": "GET HEAD",  # of what was made here: ``_made_here``
    # agents
    r"/gradio_api/mcp(/|/http/?)?": "GET POST DELETE",
    r"/gradio_api/mcp/(sse|schema)": "GET HEAD",
    r"/gradio_api/mcp/messages/?": "POST",
}
"""Pattern of the whole path, and the methods that it takes; a preflight is taken everywhere."""

MADE = "made"
"""The folder, inside that of the uploads, for what we make: the only files that can be fetched."""

_OPEN = [(re.compile(pattern), methods.split()) for pattern, methods in OPEN.items()]
_FILE = "/gradio_api/file="
_MCP = "/gradio_api/mcp"
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
_ORIGIN = re.compile(rb"null|[A-Za-z][A-Za-z0-9+.-]*://" + _HOST.pattern)


def made_folder() -> Path:
    """Where what we make lies, until it is swept with the uploads."""
    return Path(get_upload_folder()) / MADE


class Doors:
    """Around Gradio: closed addresses are not there, and every failure is told in the contract's words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if refused := _closed(scope["method"], scope["path"]):
            await told_by_http(refused)(scope, receive, send)
            return
        answer = _Answer(scope, receive, send)
        try:
            await self._app(_believable(scope), receive, answer.send)
            await answer.ended()
        except ClientDisconnect:
            pass  # nobody is there to read it
        except Exception as error:
            await answer.failed(error)


def _closed(method: str, path: str) -> SecondLookError | None:
    """Why ``path`` is not to be had, if it is not."""
    methods = next((methods for pattern, methods in _OPEN if pattern.fullmatch(path)), None)
    if methods is None or (path.startswith(_FILE) and not _made_here(path.removeprefix(_FILE))):
        return NotFound()
    return None if method in (*methods, "OPTIONS") else MethodNotAllowed()


def _made_here(path: str) -> bool:
    try:
        file = Path(path).resolve()
        return file.is_relative_to(made_folder().resolve()) and file.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, NUL bytes, links in a circle
        return False


def _believable(scope: Scope) -> Scope:
    """Without headers that Gradio would build addresses from, or compare with them, and that hold none.

    Whether the caller came by https is taken from any proxy: it shows in the addresses of that answer and nowhere else.
    """

    def kept(name: bytes, value: bytes) -> bool:
        if name in (b"host", b"x-forwarded-host"):
            return bool(_HOST.fullmatch(value.partition(b",")[0].strip()))
        if name == b"x-forwarded-proto":
            return value.partition(b",")[0].strip() in (b"http", b"https")
        if name == b"origin":
            return bool(_ORIGIN.fullmatch(value))
        return name != b"x-gradio-server"  # which would be a Node server of ours, if we had one

    headers = [(name, value) for name, value in scope["headers"] if kept(name, value)]
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", b"%s:%d" % (scope["server"][0].encode(), scope["server"][1] or 80)))
    secure = (b"x-forwarded-proto", b"https") in headers
    return {**scope, "headers": headers, "scheme": "https" if secure else scope["scheme"]}


class _Answer:
    """Gradio's answer on its way out. A failure is held back until it is known what it was, and told as ours."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._agent = scope["path"].startswith(_MCP)  # its protocol has refusals of its own
        self._started = self._complete = False
        self._held: Message | None = None

    async def send(self, message: Message) -> None:
        """Pass it on, unless it is a failure."""
        if self._held is None and message["type"] == "http.response.start":
            status = message["status"]
            if status in _OF_WORDS or (status >= 400 and not self._agent):
                self._held = message
                return
            self._started = True
        if self._held is None:
            self._complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await self._send(message)

    async def ended(self) -> None:
        """Gradio is done."""
        if not self._held:
            return
        status = self._held["status"]
        if self._agent:  # films fail inside of answers; only a message that cannot be read comes to this
            await self._tell(unreadable())
        elif status == InternalError.status:
            await self._tell(told(RuntimeError()))
        else:
            await self._tell(_REFUSALS.get(status, unreadable)())

    async def failed(self, error: Exception) -> None:
        """Gradio raised ``error``, after an answer or in place of one."""
        if not self._started:
            await self._tell(NotFound() if isinstance(error, (KeyError, FnIndexInferError)) else told(error))
        elif not self._complete:  # an event stream: it has said so itself, and the caller's is no longer known
            await self._send({"type": "http.response.body", "body": b""})

    async def _tell(self, refusal: SecondLookError) -> None:
        ours = _by_json_rpc(refusal) if self._agent else told_by_http(refusal)
        for name, value in (self._held or {}).get("headers", []):
            if name == b"vary" or name.startswith(b"access-control-"):
                ours.raw_headers.append((name, value))
        ours.headers["Access-Control-Expose-Headers"] = "Retry-After, X-Request-Id"
        await ours(self._scope, self._receive, self._send)


def told(error: Exception) -> SecondLookError:
    """What to say of an exception that Gradio raised before or after a function of ours: whose fault it was."""
    if isinstance(error, InvalidPathError):
        return MissingFile("Only a film that was uploaded here is read; send the radiograph itself.")
    too_long = isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG
    if too_long or isinstance(error, (TypeError, ValueError, AttributeError, RecursionError, httpx.InvalidURL)):
        return unreadable()  # Gradio takes the parts of a request on trust
    try:
        with foreseen():
            raise error
    except SecondLookError as ours:
        return ours


def unreadable() -> SecondLookError:
    """The request is not of the form that its address takes."""
    return MissingFile("The request could not be read; send one radiograph in the form that /docs and the README show.")


def _by_json_rpc(refusal: SecondLookError) -> Response:
    error = {"code": -32600, "message": str(refusal), "data": {"code": refusal.code}}
    return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, refusal.status)


_REFUSALS: dict[int, Callable[[], SecondLookError]] = {
    403: NotFound,
    404: NotFound,
    405: MethodNotAllowed,
    413: FileTooLarge,
    503: Busy,
}
"""What Gradio's statuses mean; all others, that a request could not be read."""

_OF_WORDS = (400, 500)
"""Statuses at which an agent would be told, at length, what a library made of its message."""
