"""When to ask a Space that may be asleep, when to ask again, and when to give up.

Knows nothing of Gradio, and of HTTP only what a status means: time, chance and fetching come from outside.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Literal, NamedTuple, TypeVar

from second_look.errors import (
    DeadlineExceeded,
    Refused,
    SpaceBroken,
    SpaceForbidden,
    SpaceNotFound,
    SpacePaused,
    SpaceUnavailable,
)

Stage = Literal["waking", "building", "starting", "queued", "running"]
T = TypeVar("T")


@dataclass(frozen=True)
class Status:
    """Where a call stands; ``str()`` says it in words, as ``queued 3 of 7``."""

    stage: Stage
    attempt: int  # which try this is, from 1
    position: int | None = None  # place in the queue, from 1, once the Space has told it
    of: int | None = None  # how many are in the queue
    retry_in: float | None = None  # seconds until the next try, between two tries

    def __str__(self) -> str:
        return self.stage if self.position is None else f"{self.stage} {self.position} of {self.of}"


OnStatus = Callable[[Status], None]


class NotYet(Exception):
    """Not an answer, but one may come: ask again after ``retry_after`` seconds or more. Never leaves this package."""

    def __init__(self, stage: Stage, sentence: str, retry_after: float = 0) -> None:
        super().__init__(sentence)
        self.stage = stage
        self.retry_after = retry_after


@dataclass(frozen=True)
class Pace:
    """How fast to try again, in seconds: exponential backoff with full jitter, so that callers spread out."""

    base: float = 1
    factor: float = 2
    cap: float = 15
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], Awaitable[None]] = field(default=asyncio.sleep, repr=False)
    random: Callable[[], float] = field(default=random.random, repr=False)

    def pause(self, failures: int, retry_after: float) -> float:
        """Seconds to wait after the nth failure in a row, counted from 1; no less than the server asked for."""
        longest = min(self.cap, self.base * self.factor ** (failures - 1))
        return max(retry_after, self.random() * longest)


class Teller:
    """Hands a call's statuses to its caller, each once."""

    def __init__(self, on_status: OnStatus | None) -> None:
        self.attempt = 1
        self._on_status = on_status
        self._last: Status | None = None

    def __call__(
        self, stage: Stage, position: int | None = None, of: int | None = None, retry_in: float | None = None
    ) -> None:
        """Say it, unless it is what was said last."""
        status = Status(stage, self.attempt, position, of, retry_in)
        if self._on_status and status != self._last:
            self._on_status(status)
        self._last = status


async def persist(
    attempt: Callable[[Teller], Awaitable[T]], deadline: float, pace: Pace, on_status: OnStatus | None
) -> T:
    """Try until it works, for ``deadline`` seconds in all.

    Goes on after NotYet only. Raises DeadlineExceeded, and any other error of ``attempt``.
    """
    end = pace.clock() + deadline
    tell = Teller(on_status)
    last: NotYet | None = None
    for tell.attempt in count(1):
        try:
            return await _within(end - pace.clock(), attempt(tell))
        except asyncio.TimeoutError:
            break
        except NotYet as not_yet:
            last = not_yet
        left = end - pace.clock()
        pause = pace.pause(tell.attempt, last.retry_after)
        if last.retry_after >= left:
            break
        tell(last.stage, retry_in=pause)
        await pace.sleep(min(pause, left))
        if pace.clock() >= end:
            break
    raise DeadlineExceeded(deadline, last)


async def _within(seconds: float, work: Awaitable[T]) -> T:
    """As ``asyncio.wait_for``, which before Python 3.12 loses a cancellation that comes just as the work ends."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()  # no effect on one that has ended
        await asyncio.gather(task, return_exceptions=True)
    if task.cancelled():
        raise asyncio.TimeoutError
    return task.result()


# What an HTTP status says


class Reply(NamedTuple):
    """An answer to GET: its status, its JSON (None if it is something else), and Retry-After in seconds."""

    status: int
    json: Any
    retry_after: float


Fetch = Callable[[str], Awaitable[Reply]]
"""GET of an address. Raises NotYet where no answer came."""

STARTING = "The Space is still starting."
BROKE_OFF = "The connection broke off before the answer was there."

PASSING: dict[str, Stage] = {"busy": "queued", "model_loading": "starting"}
"""The service's error codes that are no refusal."""


def judge(status: int, retry_after: float = 0, code: str = "", sentence: str = "") -> None:
    """Raise NotYet for an answer that will pass, another error for one that will not; return for all others.

    ``code`` and ``sentence`` are the service's own, where it gave any.
    """
    if code in PASSING:
        raise NotYet(PASSING[code], sentence, retry_after)
    if status < 400:
        return
    if status == 429:
        raise NotYet("queued", "Too many callers are waiting.", retry_after)
    if status in (502, 503, 504):
        raise NotYet("starting", STARTING, retry_after)
    if code:
        raise Refused(code, sentence)
    if status in (401, 403):
        raise SpaceForbidden
    if status == 404:
        raise SpaceNotFound
    raise Refused("internal_error", f"The Space could not deal with the request (HTTP {status}).")


# What the Hub says

_WAITING: dict[str, tuple[Stage, str]] = {
    "SLEEPING": ("waking", "The Space was asleep and is still waking up."),
    "BUILDING": ("building", "The Space is still being built."),
    "APP_STARTING": ("starting", STARTING),
    "RUNNING_APP_STARTING": ("starting", STARTING),
}
_HOPELESS: dict[str, type[SpaceUnavailable]] = {
    "PAUSED": SpacePaused,
    "STOPPED": SpacePaused,
    "RUNTIME_ERROR": SpaceBroken,
    "BUILD_ERROR": SpaceBroken,
    "CONFIG_ERROR": SpaceBroken,
    "NO_APP_FILE": SpaceBroken,
    "DELETING": SpaceNotFound,
}


class Whereabouts:
    """Where a Space is, and whether it is awake: ``space`` is ``owner/name`` on the Hub, or the app's own address."""

    def __init__(self, space: str, hub: str, ask_hub: Fetch, knock: Fetch) -> None:
        self._api = f"{hub.rstrip('/')}/api/spaces/{space}"
        self._ask_hub, self._knock = ask_hub, knock
        self._hosted = not space.startswith(("http://", "https://"))
        self._address = "" if self._hosted else space.rstrip("/")

    async def awake(self) -> str:
        """The app's address, once it should answer there.

        Raises NotYet while the Space sleeps, is built or starts, and SpaceUnavailable if it never will run.
        """
        if not self._hosted:
            return self._address
        stage = (await self._hub_says(self._api)).get("runtime", {}).get("stage")
        if stage in _HOPELESS:
            raise _HOPELESS[stage]
        if not self._address:
            self._address = str((await self._hub_says(f"{self._api}/host"))["host"]).rstrip("/")
        if stage == "SLEEPING":
            with suppress(NotYet):  # any request wakes it; this one is turned away
                await self._knock(f"{self._address}/")
        if stage in _WAITING:
            raise NotYet(*_WAITING[stage])
        return self._address  # it runs, or is in a stage that we do not know: the app itself will tell

    async def _hub_says(self, address: str) -> dict[str, Any]:
        reply = await self._ask_hub(address)
        try:
            judge(reply.status, reply.retry_after)
        except NotYet as not_yet:
            raise NotYet("waking", "The Hub does not say yet how the Space is.", not_yet.retry_after) from None
        if not isinstance(reply.json, dict):
            raise SpaceNotFound
        return reply.json
