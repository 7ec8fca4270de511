"""What a person is told when something goes wrong: our own sentence, and nothing of anybody's file."""

import logging
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import gradio as gr
import gradio.queueing
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictors.errors import Busy, FileTooLarge, InternalError, SecondLookError

log = logging.getLogger(__name__)

RETRY_AFTER = 2
"""Seconds after which what will pass may have passed: a full queue empties, a network loads."""


@contextmanager
def foreseen() -> Iterator[None]:
    """Every exception leaves as a SecondLookError.

    An unforeseen one is logged by its type and place only: messages and tracebacks can quote file names, and
    hospitals name films after patients.
    """
    try:
        yield
    except SecondLookError:
        raise
    except Exception:
        error = InternalError()
        error.request_id = uuid.uuid4().hex
        _log_type_and_place(error.request_id)
        raise error from None


def hush_gradio() -> None:
    """Let Gradio's queue log as we do what fails before a function of ours is called.

    It would print the traceback, and the message of one for a path that was never uploaded quotes that path.
    Gradio has no setting for it.
    """
    vars(gradio.queueing)["traceback"] = SimpleNamespace(print_exc=_log_type_and_place)


def _log_type_and_place(request_id: str = "") -> None:
    """The exception being handled: what kind it is and which line raised it, and none of its words."""
    kind, _, trace = sys.exc_info()
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "an unknown place"
    told = f" (request {request_id})" if request_id else ""
    log.error("unforeseen %s in %s%s", kind.__name__ if kind else "error", place, told)


@contextmanager
def told_by_gradio() -> Iterator[None]:
    """Every exception leaves as Gradio's error: one plain sentence for any client, its code as the title."""
    try:
        with foreseen():
            yield
    except SecondLookError as error:
        raise gr.Error(str(error), title=error.code, print_exception=False) from None


def told_by_http(error: SecondLookError, **more: object) -> JSONResponse:
    """The contract's error body; with ``Retry-After`` if it will pass, and with the id under which it was logged."""
    body = {"detail": str(error), "code": error.code, **more}
    headers = {"Retry-After": str(RETRY_AFTER)} if error.status == Busy.status else {}
    if isinstance(error, InternalError):
        body["request_id"] = headers["X-Request-Id"] = error.request_id
    return JSONResponse(body, error.status, headers)


class InOurWords:
    """Around Gradio: says in the contract's words what Gradio refuses before a function of ours is called.

    The status stays as it is, since both Gradio clients tell a full queue by its 503.
    """

    ADDRESSES = ("/gradio_api/queue/join", "/gradio_api/call/", "/gradio_api/upload")

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or not scope["path"].startswith(self.ADDRESSES):
            await self._app(scope, receive, send)
            return
        refused = False

        async def told(message: Message) -> None:
            nonlocal refused
            error = {Busy.status: Busy, FileTooLarge.status: FileTooLarge}.get(message.get("status", 0))
            if error:
                refused = True
                ours = told_by_http(error())
                theirs = [(k, v) for k, v in message["headers"] if k == b"vary" or k.startswith(b"access-control-")]
                exposed = (b"access-control-expose-headers", b"Retry-After")
                await send({**message, "headers": [*ours.raw_headers, *theirs, exposed]})
                await send({"type": "http.response.body", "body": ours.body})
            elif not refused:
                await send(message)

        await self._app(scope, receive, told)
