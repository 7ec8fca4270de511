"""Which addresses are REST's, and what is said at those that are not there."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from predictors.errors import SecondLookError, UnknownModel
from space.refusals import foreseen, told_by_http
from space.tracing import routed

FIRST_SEGMENTS = {"api", "docs", "health", "metrics", "models", "openapi.json", "ready", "redoc", "run"}
"""Of the addresses that are ours; what begins otherwise is the page's."""


class NotFound(SecondLookError):
    """No such address (404)."""

    code = "not_found"
    status = 404
    sentence = "There is nothing at this address; see /docs for those there are."


class MethodNotAllowed(SecondLookError):
    """The address is there, but not for this method (405)."""

    code = "method_not_allowed"
    status = 405
    sentence = "This address does not take that method; see /docs for the one it takes."


class Foreseen(APIRoute):
    """A route that fails only as ``predictors.errors`` says."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with every exception told as a refusal."""
        handle = super().get_route_handler()

        async def handled(request: Request) -> Response:
            routed(self.path)
            try:
                with foreseen():
                    try:
                        return await handle(request)
                    except ClientDisconnect:
                        return Response(status_code=499)  # nginx's number; nobody is there to read it
            except SecondLookError as error:
                return told_by_http(error)

        return handled


def nothing_there(request: Request, error: Exception, models: set[str]) -> Response:
    """The refusal of a request that no route takes; ``error`` is the router's own."""
    if isinstance(error, HTTPException) and error.status_code == MethodNotAllowed.status:
        refused = told_by_http(MethodNotAllowed())
        refused.headers.update(error.headers or {})
        return refused
    first, *rest = request.scope["path"].removeprefix("/").split("/")
    return told_by_http(UnknownModel() if first == "api" and rest and rest[0] not in models else NotFound())


class RestFirst:
    """Around the page's app: REST addresses go to ``rest``. Gradio, mounted at ``/``, would take every one of them."""

    def __init__(self, app: ASGIApp, rest: FastAPI) -> None:
        self._page, self._rest = app, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["path"].removeprefix("/").partition("/")[0] not in FIRST_SEGMENTS:
            await self._page(scope, receive, send)
            return
        if scope["method"] == "HEAD":  # a GET whose body the server leaves out; uptime monitors ask so
            scope = {**scope, "method": "GET"}
        await self._rest(scope, receive, send)
