"""A stand-in for the internet: one public host, films.example, whose pages a local server gives."""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx

HOST = "http://films.example"
PUBLIC, PRIVATE = "93.184.215.14", "10.0.0.1"
NAMES = {"films.example": [PUBLIC], "private.example": [PRIVATE], "both.example": [PUBLIC, PRIVATE]}

Page = bytes | str
"""A file, or where else to look: ``302`` with this address."""


@contextmanager
def local_server(pages: dict[str, Page]) -> Iterator[int]:
    """Serve ``pages`` by path, and ``/endless`` and ``/silent``; gives the port. ``pages`` may change meanwhile."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            page = pages.get(path)
            if path == "/silent":
                time.sleep(2)
            elif path == "/endless":
                self.send_response(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(bytes(1 << 20))
                except OSError:
                    self.close_connection = True
            elif isinstance(page, str):
                self.send_response(302)
                self.send_header("Location", page)
                self.end_headers()
            else:
                self.send_response(404 if page is None else 200)
                self.end_headers()
                self.wfile.write(page or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def reach(port: int, replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """From now on this process knows NAMES, and finds the server at ``port`` behind PUBLIC.

    Only what lies beneath our own transport is replaced. It refuses to connect to anything else at all.
    """
    resolve = asyncio.BaseEventLoop.getaddrinfo
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def getaddrinfo(loop: Any, host: Any, *args: Any, **more: Any) -> Any:
        if host in NAMES:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0)) for address in NAMES[host]]
        return await resolve(loop, host, *args, **more)

    async def handle(transport: Any, request: httpx.Request) -> httpx.Response:
        if request.url.host == PUBLIC:
            request.url = request.url.copy_with(host="127.0.0.1", port=port)
            return await send(transport, request)
        if type(transport) is httpx.AsyncHTTPTransport:
            return await send(transport, request)  # not our transport: Gradio's client, on its way to itself
        raise AssertionError("connected to what is not public")

    replace(asyncio.BaseEventLoop, "getaddrinfo", getaddrinfo)
    replace(httpx.AsyncHTTPTransport, "handle_async_request", handle)
