"""Turns at the networks: a few at a time, and next whoever has gone without for longest."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class _Waiter:
    client: str
    since: float
    called: asyncio.Future[None]


class Turns:
    """Like a semaphore of ``at_once``, but fair between clients, however many requests each of them has waiting.

    A free turn goes to a client that holds none before one that does, and among these to the one that has gone without
    for longest: since it came, or since its last turn ended. So thirty films of one client hold up another's single
    film by the turns that run, and nobody can be passed over for ever. Used on one event loop.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[_Waiter] = []  # in the order in which they came
        self._held: Counter[str] = Counter()
        self._ended: dict[str, float] = {}  # when a client's last turn ended, the longest ago first

    async def take(self, client: str, since: float) -> None:
        """Wait for a turn; ``since`` is the ``time.monotonic`` at which the request began to wait."""
        if self._free:
            self._free -= 1
            self._held[client] += 1
            return
        waiter = _Waiter(client, since, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await waiter.called
        except asyncio.CancelledError:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            else:  # called in the moment of leaving
                self.give_back(client)
            raise

    def give_back(self, client: str) -> None:
        """End a turn of this client's, and call whoever is next."""
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
        self._ended.pop(client, None)
        self._ended[client] = time.monotonic()
        # One who was cancelled a moment ago stands in the line until its own task has run.
        still_there = [waiter for waiter in self._waiting if not waiter.called.done()]
        if still_there:
            self._call(min(still_there, key=self._patience))
        else:
            self._free += 1
        self._forget()

    def _patience(self, waiter: _Waiter) -> tuple[int, float]:
        """What the next turn goes to the smallest of."""
        return self._held[waiter.client], max(waiter.since, self._ended.get(waiter.client, waiter.since))

    def _call(self, waiter: _Waiter) -> None:
        self._waiting.remove(waiter)
        self._held[waiter.client] += 1
        waiter.called.set_result(None)

    def _forget(self) -> None:
        """Drop what can decide nothing any more: turns that ended before anyone who waits had come."""
        first = min((waiter.since for waiter in self._waiting), default=float("inf"))
        while self._ended and next(iter(self._ended.values())) < first:
            del self._ended[next(iter(self._ended))]
