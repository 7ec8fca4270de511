"""Callers: each a client of its own, who asks question after question and compares every answer with the known one."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.load.known import ANSWER, Question, Told, comparable

PATIENCE = 120.0
"""Seconds after which a request counts as failed."""


PIECES = 20
"""In which a film is sent by who takes their time."""


def address(caller: int) -> str:
    """What stands in X-Forwarded-For: a documentation address (RFC 5737, 2544) a caller."""
    return f"198.{18 + caller // 65536}.{caller // 256 % 256}.{caller % 256}"


class Busy(Exception):
    """There was no place; come again in so many seconds."""

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after


@dataclass
class Tally:
    """What became of the requests."""

    answered: Counter[str] = field(default_factory=Counter)  # right, by door; a refusal foretold is right too
    refusals: int = 0  # of those, how many were such a refusal
    films: int = 0
    busy: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, list[float]] = field(default_factory=dict)  # of every right answer, by door
    by_caller: Counter[int] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def emptied(self) -> "Tally":
        """What was counted so far; it starts anew."""
        past = Tally(**vars(self))
        vars(self).update(vars(Tally()))
        return past

    def fault(self, kind: Counter[str], door: str, what: str) -> None:
        """Count what should not be, and remember the first few."""
        kind[door] += 1
        if len(self.faults) < 20:
            self.faults.append(f"{door}: {what}")


class Caller:
    """One client, who asks one question at a time; by REST, it sends each ``over`` so many seconds."""

    def __init__(self, url: str, number: int, questions: list[Question], over: float = 0) -> None:
        headers = {"X-Forwarded-For": address(number)}
        self.number = number
        self._web = httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE, verify=False)
        self._over = over
        self._questions = questions
        self._chance = random.Random(number)

    async def ask_until(self, end: float, tally: Tally) -> None:
        """Ask until ``time.monotonic`` says ``end``; what has been asked by then is waited for."""
        while time.monotonic() < end:
            question = self._chance.choice(self._questions)
            try:
                await self.ask(question, tally)
            except Busy as busy:
                tally.busy[self._door(question)] += 1
                # With some jitter, so that all who were refused do not come back together.
                pause = busy.retry_after * self._chance.uniform(1, 1.5)
                await asyncio.sleep(max(0.0, min(pause, end - time.monotonic())))

    async def ask(self, question: Question, tally: Tally) -> None:
        """Ask once; raises Busy."""
        door, began = self._door(question), time.monotonic()
        try:
            told = await (self._by_gradio if question.door == "call" else self._by_rest)(question)
        except (httpx.HTTPError, ValueError, KeyError, IndexError) as error:
            tally.fault(tally.failed, door, f"{question.model} {type(error).__name__} {error}")
            return
        if told != question.expected:
            tally.fault(tally.wrong, door, f"{question.model}, expected {question.expected}, was told {told}")
            return
        tally.answered[door] += 1
        tally.refusals += told.code != ANSWER
        tally.films += len(question.films)
        tally.by_caller[self.number] += 1
        tally.seconds.setdefault(door, []).append(time.monotonic() - began)

    async def close(self) -> None:
        """Hang up."""
        await self._web.aclose()

    def _door(self, question: Question) -> str:
        return "slowly" if self._over else question.door

    async def _by_rest(self, question: Question) -> Told:
        path = "/run/predict" if question.door == "run/predict" else f"/api/{question.model}/{question.door}"
        name = {"batch-predict": "files", "run/predict": "data"}.get(question.door, "file")
        request = self._web.build_request("POST", path, files=[(name, film) for film in question.films])
        if self._over:
            headers = {key: request.headers[key] for key in ("Content-Type", "Content-Length")}
            content = _in_pieces(request.read(), self._over)
            request = self._web.build_request("POST", path, headers=headers, content=content)
        reply = await self._web.send(request)
        body = _checked(reply)
        if reply.status_code != 200:
            return Told(body["code"], body["detail"])
        if question.door == "heatmap":
            return Told(ANSWER, [float(part) for part in reply.headers["X-Heatmap-Peak"].split(",")])
        if question.door == "run/predict":
            return Told(ANSWER, {"data": [comparable(each) for each in body["data"]]})
        return Told(ANSWER, comparable(body))

    async def _by_gradio(self, question: Question) -> Told:
        (film,) = question.films
        (path,) = _checked(await self._web.post("/gradio_api/upload", files={"files": film}))
        data = [{"path": path, "orig_name": film.name, "meta": {"_type": "gradio.FileData"}}]
        joined = _checked(await self._web.post(f"/gradio_api/call/{question.model}", json={"data": data}))
        reply = await self._web.get(f"/gradio_api/call/{question.model}/{joined['event_id']}")
        event, said = _last_event(reply.text)
        if event == "complete":
            return Told(ANSWER, comparable(said[0]))
        return Told(said["title"], said["error"])


def _checked(reply: httpx.Response) -> Any:
    """The body of an answer, or of a refusal that is about the film; raises Busy, or HTTPStatusError for a fault."""
    picture = reply.headers.get("content-type") == "image/png"
    body = None if picture else reply.json()
    if reply.status_code == 503 and body["code"] == "busy":
        raise Busy(int(reply.headers["Retry-After"]))
    if reply.status_code >= 500:
        reply.raise_for_status()
    return body


async def _in_pieces(body: bytes, seconds: float) -> AsyncIterator[bytes]:
    size = len(body) // PIECES + 1
    for at in range(0, len(body), size):
        yield body[at : at + size]
        await asyncio.sleep(seconds / PIECES)


def _last_event(stream: str) -> tuple[str, Any]:
    lines = stream.strip().splitlines()
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))
