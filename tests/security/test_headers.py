"""Every answer carries its headers, whichever door it leaves by; and no policy is looser than it has to be."""

import asyncio
import base64
import hashlib
import re
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse, PlainTextResponse

from space.http.headers import DATA, ON_EVERY_ANSWER, SecurityHeaders
from tests.drawings import encoded
from tests.films import chest
from tests.running import Space
from tests.security import doors

ADDRESSES = [
    "/",
    "/config",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/health",
    "/ready",
    "/metrics",
    "/models",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/static/js/iframeResizer.contentWindow.min.js",
    "/docs/static/redoc.standalone.js",
    "/gradio_api/info",
    "/gradio_api/mcp/schema",
    "/nowhere",
    "/api/nobody/predict",
    "/gradio_api/file=/etc/passwd",
    "/gradio_api/call/pneumonia/nothing",
]
DOCUMENTS = ("/", "/docs", "/redoc")
KEPT = ("/theme.css", "/favicon.ico", "/manifest.json")


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address_has_the_headers(space: Space, address: str) -> None:
    checked(httpx.get(space.url + address, timeout=60))


def checked(reply: httpx.Response) -> None:
    path = reply.url.path
    for name, value in ON_EVERY_ANSWER.items():
        assert reply.headers.get_list(name) == [value], (path, name)
    policies = reply.headers.get_list("Content-Security-Policy")
    assert len(policies) == 1
    assert (policies[0] == DATA) == (path not in DOCUMENTS)
    kept = path in KEPT or path.startswith(("/static/", "/docs/static/", "/assets/"))
    assert reply.headers.get_list("Cache-Control") == ([] if kept else ["no-store"])


def test_every_door_has_the_headers(space: Space) -> None:
    film = encoded(chest(), "PNG")
    replies: list[httpx.Response] = []
    with httpx.Client(base_url=space.url, timeout=60, event_hooks={"response": [replies.append]}) as http:
        for ask in doors.DOORS.values():
            assert ask(http, film).answer is not None
            ask(http, b"no film")
        http.options(
            "/api/pneumonia/predict", headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
        )
        http.get("/gradio_api/call/pneumonia/nothing")
    assert len(replies) > 20
    for reply in replies:
        checked(reply)


def test_a_heat_map_is_a_picture_and_nothing_else(space: Space) -> None:
    with httpx.Client(base_url=space.url, timeout=60) as http:
        upload = doors.uploaded(http, encoded(chest(), "PNG"), "<b>film</b>.html")
        posted = http.post("/gradio_api/call/pneumonia_heatmap", json={"data": [doors.file_data(upload)]}).json()
        picture, _ = doors.heard(http, f"/gradio_api/call/pneumonia_heatmap/{posted['event_id']}")[-1]
        reply = http.get(picture["url"])
        assert reply.headers["Content-Type"] == "image/png"
        checked(reply)
        # What was uploaded cannot be fetched at all, by whatever name: no page of a stranger's is served from here.
        assert http.get(f"/gradio_api/file={upload}").status_code == 404


def test_the_pages_policy_names_its_scripts(space: Space) -> None:
    for path in DOCUMENTS:
        reply = httpx.get(space.url + path)
        policy = reply.headers["Content-Security-Policy"]
        scripts = directive(policy, "script-src")
        assert "'unsafe-inline'" not in scripts
        assert ("'unsafe-eval'" in scripts) == (path == "/")
        for script in re.findall(r"<script>(.*?)</script>", reply.text, re.DOTALL):
            assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in scripts
        assert not re.search(r"https?:|\*(?!$)", policy), "nothing is loaded from elsewhere"
        assert directive(policy, "default-src") == ["'none'"]
        assert directive(policy, "connect-src") == ["'self'"]
        assert directive(policy, "frame-ancestors") == ["*"]
        assert "X-Frame-Options" not in reply.headers


def test_the_host_decides_who_embeds_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECOND_LOOK_EMBEDDERS", " https://huggingface.co 'self' ")
    told = answered(SecurityHeaders(HTMLResponse("<p>")), "/")
    assert directive(told["content-security-policy"], "frame-ancestors") == ["https://huggingface.co", "'self'"]


def test_a_document_in_pieces_has_one_policy() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
        for piece in (b"<script>al", b"ert(1)</scr", b"ipt>"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    told = answered(SecurityHeaders(app), "/docs")
    assert told["body"] == "<script>alert(1)</script>"
    digest = base64.b64encode(hashlib.sha256(b"alert(1)").digest()).decode()
    assert directive(told["content-security-policy"], "script-src") == ["'self'", f"'sha256-{digest}'"]


def test_what_is_no_document_is_not_held_back() -> None:
    told = answered(SecurityHeaders(PlainTextResponse("data: {}\n\n", headers={"Cache-Control": "public"})), "/stream")
    assert told["content-security-policy"] == DATA
    assert told["cache-control"] == "no-store"


def answered(app: Any, path: str) -> dict[str, str]:
    """The answer's headers, and its body."""
    told: dict[str, str] = {"body": ""}

    async def send(message: Any) -> None:
        for name, value in message.get("headers", []):
            told[name.decode()] = value.decode()
        told["body"] += message.get("body", b"").decode()

    async def receive() -> Any:
        return {"type": "http.request"}

    asyncio.run(app({"type": "http", "path": path, "method": "GET", "headers": []}, receive, send))
    return told


def directive(policy: str, name: str) -> list[str]:
    return next(each.split()[1:] for each in policy.split("; ") if each.split()[0] == name)
