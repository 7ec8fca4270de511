"""Which request is being answered: its id, its door and how it ended, wherever in the service one asks.

An id is made here for every request and never taken from a caller. It is in the answer's header ``X-Request-Id``, in
every line that is logged of the request, and in the body of an internal error.
"""

import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.types import Scope

GONE = "gone"
"""How a request ended whose caller went away before the answer."""

_STATE = "second_look_trace"


@dataclass
class Trace:
    """One request on its way through the service. Its fields come from us: nothing in it is a caller's word."""

    id: str
    door: str
    route: str
    began: float = field(default_factory=time.perf_counter)
    waited: float = 0.0  # seconds, for its turn
    received: int = 0  # bytes of its body so far
    refusal: str = ""  # the code of the refusal that was told last
    agent: str = ""  # the client for whom Gradio's server for agents asks us again
    counted: bool = False  # whether the metrics and the log know already how it ended

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.began

    def outcome(self, status: int) -> str:
        """The code of its refusal, or what ``status`` is called where the refusal was not ours."""
        if self.refusal:
            return self.refusal
        if status in (0, 499):  # no answer; nginx's number for it
            return GONE
        return HTTPStatus(status).phrase.lower().replace(" ", "_")


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def new_id() -> str:
    """An id that nobody can guess."""
    return uuid.uuid4().hex


def current() -> Trace | None:
    """The request that is being answered here, if one is."""
    return _current.get()


def request_id() -> str:
    """Its id; empty where no request is being answered."""
    trace = _current.get()
    return trace.id if trace else ""


def refused(code: str) -> None:
    """Remember how the request was refused, should it end without a film that a network was asked about."""
    if trace := _current.get():
        trace.refusal = code


def routed(route: str) -> None:
    """Remember which of our routes took the request."""
    if trace := _current.get():
        trace.route = route


@contextmanager
def following(trace: Trace) -> Iterator[None]:
    """What is done inside is done for this request."""
    token = _current.set(trace)
    try:
        yield
    finally:
        _current.reset(token)


def marked(scope: Scope, trace: Trace) -> Scope:
    """The ``scope`` of a request with its trace, for where its context does not reach."""
    return {**scope, "state": {**scope.get("state", {}), _STATE: trace}}


def follow_into(queue: Any, ended: Callable[[Trace, int], None]) -> None:
    """Let what Gradio's ``queue`` runs, in tasks of its own, be done for the request that joined it.

    ``ended`` is told of those that were refused before a network was asked.
    """
    process: Callable[..., Awaitable[None]] = queue.process_events

    async def process_events(events: Sequence[Any], *more: Any) -> None:
        joined: Trace = events[0].request.scope["state"][_STATE]
        fn = events[0].fn
        door = "page" if fn.api_visibility == "private" else joined.door
        trace = Trace(joined.id, door, f"/{fn.api_name}", joined.began)
        with following(trace):
            await process(events, *more)
            if trace.refusal and not trace.counted:
                ended(trace, 200)  # the refusal is in the stream of events

    queue.process_events = process_events
