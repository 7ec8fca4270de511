"""Every address that Gradio brings was judged: needed, or not there. A new version of Gradio may bring new ones."""

import asyncio
import re
from collections.abc import Iterable, Iterator
from typing import Any

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.routing import Mount

from space.gradio.doors import OPEN, Doors
from tests.running import Space
from tests.security.doors import refused

NEEDED = {
    "/",
    "/assets/{path:path}",
    "/config",
    "/favicon.ico",
    "/gradio_api/app_id",
    "/gradio_api/call/v2/{api_name}",
    "/gradio_api/call/v2/{api_name}/{event_id}",
    "/gradio_api/call/{api_name}",
    "/gradio_api/call/{api_name}/{event_id}",
    "/gradio_api/cancel",
    "/gradio_api/file={path_or_url:path}",  # only what was made here: test_doors_files.py
    "/gradio_api/heartbeat/{session_hash}",
    "/gradio_api/info",
    "/gradio_api/mcp",
    "/gradio_api/mcp/messages",
    "/gradio_api/mcp/schema",
    "/gradio_api/mcp/sse",
    "/gradio_api/openapi.json",
    "/gradio_api/queue/data",
    "/gradio_api/queue/join",
    "/gradio_api/reset",
    "/gradio_api/run/{api_name}",
    "/gradio_api/theme.css",
    "/gradio_api/upload",
    "/gradio_api/upload_progress",
    "/manifest.json",
    "/robots.txt",
    "/static/{path:path}",
    "/theme.css",
}

NOT_THERE = {
    "/gradio_api/api/{api_name}": "an older name of /run",
    "/gradio_api/component_server": "components here have no functions of their own",
    "/gradio_api/custom_component/{id}/{environment}/{type}/{file_name}": "none; it prints what it is asked for",
    "/gradio_api/deep_link": "writes a session's films to the disk",
    "/gradio_api/dev/reload": "for developers",
    "/gradio_api/file/{path:path}": "an older name of /file=",
    "/gradio_api/login_check": "nobody logs in",
    "/gradio_api/process_recording": "writes and converts videos",
    "/gradio_api/proxy={url_path:path}": "no other Space is loaded",
    "/gradio_api/queue/status": "nobody asks; /metrics has it",
    "/gradio_api/runs": "the history of runs, which is off",
    "/gradio_api/startup-events": "run at the start",
    "/gradio_api/stream/{event_id}": "nothing is streamed",
    "/gradio_api/stream/{event_id}/close": "nothing is streamed",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist-file": "nothing is streamed",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/playlist.m3u8": "nothing is streamed",
    "/gradio_api/stream/{session_hash}/{run}/{component_id}/{segment_id}.{ext}": "nothing is streamed",
    "/gradio_api/token": "nobody logs in",
    "/gradio_api/undo-vibe-edit": "an editor of this program's code",
    "/gradio_api/user": "nobody logs in",
    "/gradio_api/vibe-code": "an editor of this program's code",
    "/gradio_api/vibe-edit": "an editor of this program's code",
    "/gradio_api/vibe-starter-queries": "an editor of this program's code",
    "/login": "nobody logs in",
    "/logout": "nobody logs in",
    "/monitoring": "off; it prints a key",
    "/monitoring/summary": "off",
    "/monitoring/{key}": "off",
    "/pwa_icon": "the page cannot be installed",
    "/pwa_icon/{size}": "the page cannot be installed",
    "/svelte/{path:path}": "for developers of components",
}

OURS = {"/openapi.json"}
"""Gradio's document of itself, which REST's stands before."""


def routes(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path template under ``app``."""
    for route in app.routes:
        inner = getattr(route, "original_router", None) or (getattr(route, "app", None) if _mounted(route) else None)
        if inner is not None and hasattr(inner, "routes"):
            yield from routes(inner, prefix + getattr(route, "path", ""))
        else:
            path = prefix + route.path
            for method in getattr(route, "methods", None) or ["POST"]:
                yield method, path.rstrip("/") or "/"


def _mounted(route: Any) -> bool:
    return isinstance(route, Mount)


@pytest.fixture(scope="module")
def brought() -> set[tuple[str, str]]:
    with gr.Blocks(analytics_enabled=False) as page:
        gr.Button(visible=False).click(lambda: None, api_name="ask")
    app = gr.mount_gradio_app(FastAPI(openapi_url=None), page, path="/", mcp_server=True, run_history=False)
    return set(routes(app))


def filled(paths: Iterable[str]) -> list[str]:
    return sorted(re.sub(r"\{[^}]*\}", "x", path) for path in paths)


def test_every_address_of_gradio_was_judged(brought: set[tuple[str, str]]) -> None:
    assert {path for _, path in brought} - OURS == NEEDED | NOT_THERE.keys()


def test_what_is_not_needed_is_not_there(space: Space) -> None:
    with httpx.Client(base_url=space.url) as http:
        for path in [*filled(NOT_THERE), "/gradio_api/run-history/connect", "/gradio_api/new", "/.env", "//etc/passwd"]:
            for method in ("GET", "POST"):
                for address in (path, path + "/"):
                    assert refused(http.request(method, address)).code == "not_found", address


def test_what_is_needed_takes_its_own_methods_only(space: Space, brought: set[tuple[str, str]]) -> None:
    methods: dict[str, set[str]] = {}
    for method, path in brought:
        methods.setdefault(path, set()).add(method)
    with httpx.Client(base_url=space.url) as http:
        for path in NEEDED - {"/gradio_api/file={path_or_url:path}", "/gradio_api/mcp"}:
            for method in {"GET", "POST", "PUT", "DELETE", "TRACE"} - methods[path]:
                (address,) = filled([path])
                assert refused(http.request(method, address)).code == "method_not_allowed", (method, address)


def test_no_pattern_is_open_that_gradio_has_no_address_for() -> None:
    addresses = filled(NEEDED)
    for pattern in OPEN:
        assert any(re.fullmatch(pattern, address) for address in addresses), pattern


def test_a_closed_address_never_reaches_gradio() -> None:
    asked: list[str] = []

    async def gradio(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await PlainTextResponse("here")(scope, receive, send)

    async def ask(*paths: str) -> list[int]:
        transport = httpx.ASGITransport(Doors(gradio))
        async with httpx.AsyncClient(transport=transport, base_url="http://space") as http:
            return [(await http.get(path)).status_code for path in paths]

    assert asyncio.run(ask("/config", "/monitoring", "/gradio_api/deep_link", "/CONFIG", "/gradio_api/config")) == [
        200,
        *[404] * 4,
    ]
    assert asked == ["/config"]
