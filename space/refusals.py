"""What a person is told when something goes wrong: our own sentence, and nothing of anybody's file."""

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import gradio as gr
import gradio.queueing
import gradio.routes
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import Scope

from predictors.errors import Busy, InternalError, SecondLookError, Unavailable
from space.log import fault
from space.tracing import new_id, refused, request_id

log = logging.getLogger(__name__)

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""How a disk says that it is full, for this user or for this file."""


@contextmanager
def foreseen() -> Iterator[None]:
    """Every exception leaves as a SecondLookError.

    An unforeseen one is logged by its type and place only: messages and tracebacks can quote file names, and
    hospitals name films after patients.
    """
    try:
        yield
    except SecondLookError as error:
        refused(error.code)
        raise
    except ClientDisconnect:  # nobody is there to be told
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            log.error(fault(error))
            full = Busy("There is no room for another film just now; try again in a few minutes.")
            full.retry_after = 30
            refused(full.code)
            raise full from None
        ours = InternalError()
        ours.request_id = request_id() or new_id()
        refused(ours.code)
        log.error(fault(error, ours.request_id))
        raise ours from None


def hush_gradio() -> None:
    """Let Gradio log as we do what fails before a function of ours is called.

    It would print the traceback, and the message of one for a path that was never uploaded quotes that path.
    Gradio has no setting for it.
    """

    def log_what_is_handled() -> None:
        error = sys.exc_info()[1]
        if error and not isinstance(error, ClientDisconnect):
            log.warning(fault(error))

    quiet = SimpleNamespace(print_exc=log_what_is_handled)
    vars(gradio.queueing)["traceback"] = vars(gradio.routes)["traceback"] = quiet


@contextmanager
def told_by_gradio() -> Iterator[None]:
    """Every exception leaves as Gradio's error: one plain sentence for any client, its code as the title."""
    try:
        with foreseen():
            yield
    except SecondLookError as error:
        raise gr.Error(str(error), title=error.code, print_exception=False) from None


def told_to_any_page(error: SecondLookError, scope: Scope) -> JSONResponse:
    """``told_by_http`` from where no CORS headers are added any more: a refusal is for any page to read."""
    response = told_by_http(error)
    if origin := Headers(scope=scope).get("origin"):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
    return response


def told_by_http(error: SecondLookError, **more: object) -> JSONResponse:
    """The contract's error body; with ``Retry-After`` if it will pass, and with the id under which it was logged."""
    refused(error.code)
    body = {"detail": str(error), "code": error.code, **more}
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Unavailable) else {}
    if isinstance(error, InternalError):
        body["request_id"] = headers["X-Request-Id"] = error.request_id
    return JSONResponse(body, error.status, headers)
