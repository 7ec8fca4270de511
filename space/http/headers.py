"""What every answer tells the browser that got it: whom to trust, what to keep, and nothing of where it came from.

The page has no login and no cookies, and any origin may ask these routes. So there is nothing to gain by framing it,
and a Space is meant to be embedded: on huggingface.co, and wherever a teacher's page wants it.
"""

import base64
import hashlib
import os
import re
from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ON_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # a private Space's address holds its key
    # Nothing here listens, looks or pays; an embedded page cannot be made to ask for it either.
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Front ends of other origins may ask every route, and show a heat map by its address.
    "Cross-Origin-Resource-Policy": "cross-origin",
}

KEPT = ("/assets/", "/static/", "/docs/static/", "/theme.css", "/favicon.ico", "/manifest.json")
"""How the addresses begin whose answers a browser or a proxy may keep: those that are the same for everybody."""

DATA = "default-src 'none'; frame-ancestors 'none'"
"""The Content-Security-Policy of what is no document: opened by itself, it can load and run nothing."""

_INLINE = re.compile(r"<script(?![^>]*\ssrc=)[^>]*>(.*?)</script>", re.DOTALL)


def document_policy(scripts: list[str], evaluates: bool, embedders: str) -> str:
    """The Content-Security-Policy of a page with these inline ``scripts``.

    Scripts are ours or named by their hash, so that none can be smuggled in with a file's name. Styles are not:
    Gradio, Swagger UI and ReDoc set them as attributes, for which there are no hashes.
    """
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in scripts]
    directives: Mapping[str, list[str]] = {
        "default-src": ["'none'"],
        "script-src": ["'self'", *sorted(set(hashes)), *(["'unsafe-eval'"] if evaluates else [])],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "worker-src": ["'self'", "blob:"],  # ReDoc's search
        "base-uri": ["'self'"],
        "form-action": ["'none'"],
        "frame-ancestors": [embedders],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in directives.items())


class SecurityHeaders:
    """Around every answer. ``head`` is what Gradio's script adds to the head of its page.

    ``SECOND_LOOK_EMBEDDERS`` names the origins that may embed the page, in the words of CSP's ``frame-ancestors``
    (``https://huggingface.co https://*.example.org``, or ``'none'``); by default all may.
    """

    def __init__(self, app: ASGIApp, head: str = "") -> None:
        self._app = app
        self._added = _INLINE.findall(head)
        self._embedders = os.environ.get("SECOND_LOOK_EMBEDDERS", "").strip() or "*"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        held: list[Message] = []  # a document, until all of it is there

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ON_EVERY_ANSWER)
                if not path.startswith(KEPT):
                    headers["Cache-Control"] = "no-store"
                if headers.get("content-type", "").startswith("text/html"):
                    held.append(message)
                    return
                headers["Content-Security-Policy"] = DATA
            if not held:
                await send(message)
                return
            held.append(message)
            if not message.get("more_body", False):
                MutableHeaders(scope=held[0])["Content-Security-Policy"] = self._policy(path, held[1:])
                for each in held:
                    await send(each)

        await self._app(scope, receive, told)

    def _policy(self, path: str, body: list[Message]) -> str:
        html = b"".join(message.get("body", b"") for message in body).decode(errors="replace")
        page = path == "/"
        # Gradio's HTML component runs its template, a constant, as code; what is filled in is no part of that code.
        scripts = _INLINE.findall(html) + (self._added if page else [])
        return document_policy(scripts, evaluates=page, embedders=self._embedders)
