"""The one desk at which every door asks a predictor: the page, the Gradio routes, REST and agents alike.

A request that was sent again is recognised; the others take turns, fair between clients; every film is counted.
"""

import asyncio
import hashlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar

import anyio
import anyio.to_thread
from PIL import Image
from starlette.requests import ClientDisconnect

from predictors.errors import Busy, SecondLookError
from predictors.finding import Answer
from predictors.predictor import Predictor, Source
from space.limits import Rate, is_local, seconds_to_wait
from space.metrics import Metrics
from space.refusals import foreseen
from space.turns import Turns

AT_ONCE = max(1, min(4, os.cpu_count() or 1))
"""Requests that may run a network at the same time, over all doors together: more would only share the cores."""

QUEUE_SIZE = 40
"""Requests that may wait: Gradio's queue has this many places, and REST as many of its own."""

PLACES_OF_ONE = QUEUE_SIZE // 2
"""How many of either one client may take, so that others still get in."""

FIRST_GUESS = 0.05
"""Seconds that a turn takes, until it is known."""

OF_LATE = 20
"""Turns over which their length is averaged (exponentially)."""

LONGEST_TURN = 300.0
"""Seconds after which a turn is taken away from a network that hangs; ten films that are slow to decode take less."""

KEPT_FOR = 120
"""Seconds for which an answer is remembered for its Idempotency-Key."""

KEPT_BYTES = 64 * 1024 * 1024
"""What all remembered answers may take together; beyond it the oldest are forgotten first."""

Door = Literal["page", "gradio", "rest", "mcp"]
T = TypeVar("T")


class Film(NamedTuple):
    """A film as it came in, and its sender's name for it."""

    source: Source | BinaryIO
    name: str

    def read(self) -> tuple[Source, str]:
        """What a predictor takes: an open file is read from its start, a path is left to the predictor."""
        if isinstance(self.source, (bytes, str, os.PathLike)):
            return self.source, self.name
        self.source.seek(0)
        return self.source.read(), self.name


async def always() -> bool:
    """For doors that do not tell whether their caller still waits."""
    return True


@dataclass(frozen=True)
class Question:
    """Who asks what. ``key`` is the caller's Idempotency-Key: one a question, the same each time it is sent."""

    door: Door
    route: str
    predictor: Predictor
    films: Sequence[Film]
    key: str = ""
    still_there: Callable[[], Awaitable[bool]] = always
    client: str = "127.0.0.1"
    since: float = field(default_factory=time.monotonic)  # when it began to wait

    def mark(self) -> str:
        """What two sendings of one request have in common, and no two requests: a SHA-256 over all of it."""
        digest = hashlib.sha256("\0".join((self.key, self.door, self.route, self.predictor.name)).encode())
        for film in self.films:
            digest.update(hashlib.sha256(film.name.encode("utf-8", "surrogatepass")).digest())
            source, _ = film.read()
            content = source if isinstance(source, bytes) else Path(source).read_bytes()
            digest.update(hashlib.sha256(content).digest())
        return digest.hexdigest()


class _Outcome(NamedTuple):
    """An answer, or a refusal, that can be given more than once."""

    answer: Any
    refusal: tuple[type[SecondLookError], str] | None = None

    def give(self) -> Any:
        if self.refusal:
            kind, sentence = self.refusal
            raise kind(sentence)  # a new one: the first holds its traceback, and with it the film
        return self.answer

    def size(self) -> int:
        """Bytes, about."""
        parts = self.answer if isinstance(self.answer, tuple) else (self.answer,)
        return 4096 + sum(_picture_bytes(part) for part in parts)


class Desk:
    """Takes every request, one event loop for all of them. Raises the errors of ``predictors.errors``."""

    def __init__(self, metrics: Metrics, rate: Rate | None = None) -> None:
        self.metrics = metrics
        self.before: Callable[[], int] = lambda: 0  # requests in a queue of their own, on their way here
        self._rate = rate or Rate(0)
        self._turns = Turns(AT_ONCE)
        self._seconds = FIRST_GUESS  # a turn takes, of late
        self._waiting: Counter[tuple[Door, str]] = Counter()  # by door and client
        self._running: dict[str, asyncio.Future[_Outcome | None]] = {}
        self._kept: dict[str, _Outcome] = {}  # oldest first

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return self._waiting.total() + self.before()

    def retry_after(self) -> int:
        """Seconds in which those who wait now will have been answered, at the pace of late."""
        return seconds_to_wait(self.waiting * self._seconds / AT_ONCE)

    def turn_away_if_full(self, predictor: Predictor, door: Door, client: str) -> None:
        """Raise Busy if as many wait at this ``door`` as may wait there: to be asked before a film is read."""
        # Gradio's callers wait in its own queue, which tells them their place, and come here a few at a time.
        if door != "rest":
            return
        taken = sum(count for (at, _), count in self._waiting.items() if at == door)
        if taken >= QUEUE_SIZE or (self._waiting[door, client] >= PLACES_OF_ONE and not is_local(client)):
            self.metrics.turned_away(predictor.name, door)
            busy = Busy()
            busy.retry_after = self.retry_after()
            raise busy

    async def ask(self, question: Question, work: Callable[[Source, str], T]) -> T:
        """Run ``work`` on the request's one film, in a thread, when it is its turn."""
        model = question.predictor.name

        def one() -> T:
            with self.metrics.film(model, question.door):
                return work(*question.films[0].read())

        return await self._once(question, one)

    async def ask_batch(self, question: Question) -> Answer:
        """``Predictor.predict_batch``, in a thread, when it is the request's turn: ten films take one turn."""
        predictor = question.predictor
        self._rate.spend(question.client, len(question.films) - 1)  # the request itself is one

        def several() -> Answer:
            films = [film.read() for film in question.films]
            return predictor.predict_batch(films, lambda: self.metrics.film(predictor.name, question.door))

        return await self._once(question, several)

    # Recognise what was sent again

    async def _once(self, question: Question, work: Callable[[], T]) -> T:
        if not question.key:
            return await self._in_turn(question, work)
        mark = await anyio.to_thread.run_sync(question.mark)
        while mark in self._kept or mark in self._running:
            outcome = self._kept.get(mark) or await asyncio.shield(self._running[mark])
            if outcome:
                self.metrics.repeated(question.predictor.name, question.door)
                answer: T = outcome.give()
                return answer
            # Whoever came first went away, or met what will pass: ask in their place.
        return await self._first(mark, question, work)

    async def _first(self, mark: str, question: Question, work: Callable[[], T]) -> T:
        running = self._running[mark] = asyncio.get_running_loop().create_future()
        outcome: _Outcome | None = None
        try:
            answer = await self._in_turn(question, work)
            outcome = _Outcome(answer)
            return answer
        except SecondLookError as error:
            if error.status < 500:  # the others will pass, and the next sending may fare better
                outcome = _Outcome(None, (type(error), str(error)))
            raise
        finally:
            del self._running[mark]
            if outcome:
                self._keep(mark, outcome)
            running.set_result(outcome)

    def _keep(self, mark: str, outcome: _Outcome) -> None:
        self._kept[mark] = outcome
        asyncio.get_running_loop().call_later(KEPT_FOR, self._kept.pop, mark, None)
        while sum(kept.size() for kept in self._kept.values()) > KEPT_BYTES:
            del self._kept[next(iter(self._kept))]

    # Take turns

    async def _in_turn(self, question: Question, work: Callable[[], T]) -> T:
        def run() -> T:
            with foreseen():
                return work()

        async with self._turn(question):
            if not await question.still_there():
                raise ClientDisconnect
            with anyio.fail_after(LONGEST_TURN):
                return await anyio.to_thread.run_sync(run, abandon_on_cancel=True)

    @asynccontextmanager
    async def _turn(self, question: Question) -> AsyncIterator[None]:
        self.turn_away_if_full(question.predictor, question.door, question.client)
        place = question.door, question.client
        self._waiting[place] += 1
        try:
            await self._turns.take(question.client, question.since)
            self.metrics.waited(question.predictor.name, time.monotonic() - question.since)
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += (time.monotonic() - began - self._seconds) / OF_LATE
            self._turns.give_back(question.client)


def _picture_bytes(part: object) -> int:
    if isinstance(part, Image.Image):
        return part.width * part.height * len(part.getbands())
    return len(part) if isinstance(part, bytes) else 0
