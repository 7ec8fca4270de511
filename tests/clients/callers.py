"""What the tests of the Python client share: fake time, and the answer that every caller must get."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import second_look

from tests.clients.sleeping import SleepingSpace


class Clock:
    """Stands still but for the pauses that are slept on it, in seconds."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._random = random.Random(0)

    def __call__(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        """Pass the time, and let others have their turn."""
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def pace(self, **more: Any) -> second_look.Pace:
        """The client's pace on this clock."""
        return second_look.Pace(**{"clock": self, "sleep": self.sleep, "random": self._random.random, **more})


def expected(space: SleepingSpace, model: str, film: Path | bytes) -> Any:
    """The app's own answer, asked for without any client, and timeless."""
    content = film if isinstance(film, bytes) else film.read_bytes()
    address = f"{space.told()['app']}/api/{model}/predict"
    return timeless(httpx.post(address, files={"file": content}, timeout=60).raise_for_status().json())


def timeless(answer: Any) -> Any:
    """The answer, whenever it was given."""
    return {**answer, "meta": {**answer["meta"], "elapsed_ms": 0}}


@asynccontextmanager
async def connected(space: SleepingSpace, clock: Clock) -> AsyncIterator[second_look.AsyncSecondLook]:
    """An asynchronous client of the Space, on this clock."""
    async with second_look.AsyncSecondLook(space.id, hub=space.hub, pace=clock.pace()) as client:
        yield client
