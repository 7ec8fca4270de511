"""What every HTTP request comes through first: it is given its id, and told of if it ends in a refusal."""

import hmac
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictors.errors import SecondLookError
from space.http.addresses import FIRST_SEGMENTS
from space.limits import client_of
from space.metrics import Metrics
from space.refusals import foreseen, told_by_http
from space.tracing import Trace, following, marked, new_id

HEADER = "X-Request-Id"

GRADIO_ROUTES = (
    "/gradio_api/upload",
    "/gradio_api/queue",
    "/gradio_api/call",
    "/gradio_api/run",
    "/gradio_api/file",
    "/gradio_api/mcp",
    "/gradio_api",
)
"""What Gradio's addresses are called in the log: what they begin with. The rest can hold a file's name."""

WATCHED = ("/health", "/ready", "/metrics")
"""How the addresses end at which whoever watches the service asks: what they answer is a state and no refusal."""

_MCP = "/gradio_api/mcp"
_HANDED_ON = b"x-second-look-request"


class Gate:
    """Around everything."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._secret = secrets.token_hex().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace, headers = self._trace(scope)
        scope = {**marked(scope, trace), "headers": headers}
        status = 0

        async def counted() -> Message:
            message = await receive()
            trace.received += len(message.get("body", b""))
            return message

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _tell(MutableHeaders(scope=message), trace.id)
            await send(message)

        with following(trace), self._metrics.request():
            try:
                with foreseen():
                    await self._app(scope, counted, told)
            except SecondLookError as error:
                if status:
                    raise  # half an answer: the server closes the connection
                await told_by_http(error)(scope, receive, told)
            finally:
                if (status >= 400 or not status) and not trace.counted and not trace.route.endswith(WATCHED):
                    self._metrics.refused(trace, status)

    def _trace(self, scope: Scope) -> tuple[Trace, list[tuple[bytes, bytes]]]:
        """The request's trace, and its headers, which hand it on to where its answer asks us again."""
        door, route = _place(scope["path"])
        notes = [value for name, value in scope["headers"] if name == _HANDED_ON]
        headers = [header for header in scope["headers"] if header[0] != _HANDED_ON]
        note = notes[-1] if notes else b""
        if hmac.compare_digest(note[:64], self._secret):
            return Trace(note[64:96].decode(), "mcp", route, agent=note[96:].decode()), headers
        trace = Trace(new_id(), door, route)
        if route == _MCP:  # Gradio's server for agents asks by HTTP again, with its caller's headers
            headers.append((_HANDED_ON, self._secret + (trace.id + client_of(scope)).encode()))
        return trace, headers


def _place(path: str) -> tuple[str, str]:
    """Door and route of an address, in words of ours. REST's routes name themselves when they take a request."""
    for route in GRADIO_ROUTES:
        if path.startswith(route):
            return "mcp" if route == _MCP else "gradio", route
    return ("rest" if path.removeprefix("/").partition("/")[0] in FIRST_SEGMENTS else "page"), ""


def _tell(headers: MutableHeaders, id_: str) -> None:
    """Add the id to an answer's headers, and let pages of other origins read it where they may read the answer."""
    headers[HEADER] = id_
    exposed = headers.get("access-control-expose-headers", "")
    if "access-control-allow-origin" in headers and HEADER.lower() not in exposed.lower():
        headers["Access-Control-Expose-Headers"] = f"{exposed}, {HEADER}" if exposed else HEADER
