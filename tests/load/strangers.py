"""Callers as they are on the open internet: they hang up."""

import asyncio
import random
import time
from contextlib import suppress
from urllib.parse import urlsplit

import httpx

from tests.load.callers import address
from tests.load.known import Question


async def vanish_until(end: float, url: str, number: int, question: Question) -> int:
    """Hang up in the middle of an upload, before the answer, or during Gradio's event stream; how often."""
    chance, times = random.Random(number), 0
    ways = [_half_an_upload, _before_the_answer, _mid_stream]
    while time.monotonic() < end:
        with suppress(OSError, httpx.HTTPError, KeyError):
            await chance.choice(ways)(url, {"X-Forwarded-For": address(number)}, question)
        times += 1
        await asyncio.sleep(chance.uniform(0.2, 0.8))
    return times


async def _half_an_upload(url: str, headers: dict[str, str], question: Question) -> None:
    await _send(url, headers, question, share=0.5)


async def _before_the_answer(url: str, headers: dict[str, str], question: Question) -> None:
    await _send(url, headers, question, share=1.0)


async def _send(url: str, headers: dict[str, str], question: Question, share: float) -> None:
    path = f"/api/{question.model}/predict"
    request = httpx.Request("POST", f"{url}{path}", files={"file": question.films[0]}, headers=headers)
    body = request.read()
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    _, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port or 80)
    writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body[: int(len(body) * share)])
    await writer.drain()
    writer.close()


async def _mid_stream(url: str, headers: dict[str, str], question: Question) -> None:
    async with httpx.AsyncClient(base_url=url, headers=headers, verify=False) as web:
        (path,) = (await web.post("/gradio_api/upload", files={"files": question.films[0]})).json()
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
        event = (await web.post(f"/gradio_api/call/{question.model}", json={"data": data})).json()["event_id"]
        async with web.stream("GET", f"/gradio_api/call/{question.model}/{event}"):
            pass  # and away
