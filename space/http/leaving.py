"""How the service stops: what was asked is answered, what is new is refused, and in ten seconds it is over.

A Space and Docker send SIGTERM and kill what still runs: Docker after ten seconds.
"""

import asyncio
import faulthandler
import logging
import re
import time
from types import FrameType

import gradio as gr
import uvicorn
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictors.errors import Busy
from space.refusals import told_to_any_page

log = logging.getLogger(__name__)

DRAIN = 6.0
"""Seconds that requests have to be answered in, from the signal on; a second signal takes them away."""

LINGER = 0.5
"""Seconds after the last answer: a caller of Gradio may be about to open its event stream, or to fetch its picture."""

CUT = 1
"""Seconds that connections then have to close."""

BOUND = 9.0
"""Seconds after which the process ends wherever it hangs, and says where."""

_STREAMS = re.compile(r"/gradio_api/(queue/data|call/(v2/)?[^/]+/[^/]+)")
_RESTARTING = "The service is restarting; try again in a few seconds."


class InFlight:
    """What was asked and is not answered yet; and whether the service is about to leave."""

    def __init__(self, page: gr.Blocks) -> None:
        self._page = page
        self._open = 0
        self._busy_until = 0.0
        self.leaving_since: float | None = None

    def enter(self) -> None:
        """A request came in."""
        self._open += 1

    def leave(self) -> None:
        """It was answered."""
        self._open -= 1
        self._busy_until = time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the service is to leave and nobody waits for an answer, or none has any time left."""
        if self.leaving_since is None:
            return False
        now, queue = time.monotonic(), self._page._queue
        if self._open or len(queue) or queue.get_active_worker_count():
            self._busy_until = now
        return now >= self._busy_until + LINGER or now >= self.leaving_since + DRAIN

    def let_listeners_go(self) -> None:
        """Close the connection that every open page holds to hear that we are alive."""
        if app := self._page._queue.server_app:
            app.stop_event.set()


class Leaving:
    """Around everything that answers: counts requests, and refuses new ones once the service is to leave."""

    def __init__(self, app: ASGIApp, in_flight: InFlight) -> None:
        self._app, self._in_flight = app, in_flight

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._in_flight.leaving_since is not None and _new(scope):
            await _restarting(scope)(scope, receive, send)
        elif scope["method"] == "POST" or _STREAMS.fullmatch(scope["path"]):
            await self._counted(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def told(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        self._in_flight.enter()
        try:
            await self._app(scope, receive, told)
        except asyncio.CancelledError:  # the server's last word to a request that took too long
            if started:
                raise
            await _restarting(scope)(scope, receive, send)
        finally:
            self._in_flight.leave()


class Server(uvicorn.Server):
    """uvicorn, which at the first signal lets what is in flight be answered, and then ends with status 0."""

    def __init__(self, config: uvicorn.Config, in_flight: InFlight) -> None:
        super().__init__(config)
        self._in_flight = in_flight

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """A signal: the first begins to leave, the second does not wait for answers, the third not for anything."""
        if self._in_flight.leaving_since is None:
            self._in_flight.leaving_since = time.monotonic()
            faulthandler.dump_traceback_later(BOUND, exit=True)
        else:
            self.force_exit = self.should_exit
            self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        self.should_exit = self.should_exit or self._in_flight.over
        if self.should_exit:
            self._in_flight.let_listeners_go()
        return await super().on_tick(counter)


def _new(scope: Scope) -> bool:
    """Whether a request begins something, rather than belonging to what is in flight."""
    if scope["method"] != "POST":
        return bool(scope["path"] == "/ready")
    # Gradio's server for agents asks by HTTP again what it was asked before; a page takes its question back.
    return (b"x-gradio-user", b"mcp") not in scope["headers"] and scope["path"] != "/gradio_api/cancel"


def _restarting(scope: Scope) -> Response:
    response = told_to_any_page(Busy(_RESTARTING), scope)
    response.headers["Connection"] = "close"
    return response
