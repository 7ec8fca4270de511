"""A film behind an address, as agents and Gradio's clients may send it: fetched from public hosts only, up to 20 MB."""

import asyncio
import hashlib
import ipaddress
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit

import gradio.processing_utils
import httpx
from gradio_client.utils import strip_invalid_filename_characters

from predictors.errors import Busy, FileTooLarge, MissingFile
from predictors.image import MAX_BYTES
from space.refusals import told_by_gradio
from space.room import most_on_disk, taken

PATIENCE = 20.0
"""Seconds for all of it: a film that is being fetched holds a place in the models' line."""

REDIRECTS = 5

NOT_FETCHED = "The radiograph could not be fetched; send a public http or https address, or the file itself."
"""One sentence for every failure: telling them apart would let a stranger explore our network."""


def fetch_for_gradio() -> None:
    """Let Gradio fetch as we do, whichever component and route the address came through.

    Gradio refuses private addresses too, but takes a file of any size into memory, keeps it by its address rather
    than its content, and asks a stranger's name server about hosts that it cannot place. It has no setting for it.
    """
    vars(gradio.processing_utils)["async_ssrf_protected_download"] = fetched


async def fetched(url: str, cache_dir: str) -> str:
    """The path of a file under ``cache_dir`` that holds what lies at ``url``; raises gr.Error with one sentence."""
    with told_by_gradio():
        try:
            async with asyncio.timeout(PATIENCE):
                content = await read(url)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            raise MissingFile(NOT_FETCHED) from None
        cache = Path(cache_dir)
        cache.mkdir(parents=True, exist_ok=True)
        if taken(cache) + len(content) > most_on_disk(cache):
            raise Busy
        # Named like an upload, as nobody can guess; written at one go, so that no other caller meets half a file.
        folder = cache / hashlib.sha256(gradio.processing_utils.hash_seed + content).hexdigest()
        name = strip_invalid_filename_characters(Path(unquote(urlsplit(url).path)).name) or "film"
        folder.mkdir(exist_ok=True)
        path = folder / name
        if path.exists():
            path.touch()
        else:
            path.write_bytes(content)
        return str(path)


async def read(url: str) -> bytes:
    """What lies at ``url``; raises FileTooLarge, and httpx's errors for what cannot be had."""
    # Uncompressed, since a small answer can unpack to a large one.
    async with httpx.AsyncClient(transport=_PublicOnly(), headers={"Accept-Encoding": "identity"}) as client:
        request = client.build_request("GET", url)
        for _ in range(REDIRECTS + 1):
            reply = await client.send(request, stream=True)
            try:
                if reply.next_request is None:
                    return await _body(reply)
                request = reply.next_request
            finally:
                await reply.aclose()
    raise httpx.TooManyRedirects("too many redirects")


async def _body(reply: httpx.Response) -> bytes:
    reply.raise_for_status()
    content = bytearray()
    async for chunk in reply.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise FileTooLarge
    return bytes(content)


class _PublicOnly(httpx.AsyncHTTPTransport):
    """Connects to public addresses only, and to the very one that was checked: a name can change its mind in between.

    IPv4 alone: IPv6 has too many ways to write a private address, and a Space has none.
    """

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.raw_host.decode("ascii")
        found = await asyncio.get_running_loop().getaddrinfo(host, None, family=socket.AF_INET, type=socket.SOCK_STREAM)
        addresses = [ipaddress.IPv4Address(where[0]) for *_, where in found]
        if not all(address.is_global and not address.is_multicast for address in addresses):
            raise httpx.ConnectError("not a public address")
        checked = httpx.Request(
            request.method,
            request.url.copy_with(host=str(addresses[0])),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await super().handle_async_request(checked)
