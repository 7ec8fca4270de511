"""Turns: who is next, whoever gives up, and what is forgotten."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from space.turns import Turns


class Hall:
    """Clients who wait for turns, and end them when told."""

    def __init__(self, at_once: int) -> None:
        self.turns = Turns(at_once)
        self.called: list[str] = []
        self.waiting: dict[str, asyncio.Task[None]] = {}

    async def comes(self, *requests: str, since: float | None = None) -> None:
        """Each is a client's letter and a number: a1, a2, b1."""
        for request in requests:
            task = asyncio.create_task(self._wait(request, time.monotonic() if since is None else since))
            self.waiting[request] = task
            await settled()

    async def _wait(self, request: str, since: float) -> None:
        await self.turns.take(request[0], since)
        self.called.append(request)

    async def ends(self, request: str) -> None:
        self.turns.give_back(request[0])
        await settled()

    async def ends_all_in_order(self) -> list[str]:
        ended = 0
        while ended < len(self.called):
            await self.ends(self.called[ended])
            ended += 1
        return self.called


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def run(scene: Callable[[], Awaitable[Any]]) -> Any:
    async def play() -> Any:
        return await scene()

    return asyncio.run(play())


def test_one_film_waits_for_none_of_the_thirty_that_came_before_it() -> None:
    async def scene() -> list[str]:
        hall = Hall(1)
        await hall.comes(*(f"a{number}" for number in range(30)), "b0")
        return await hall.ends_all_in_order()

    assert run(scene)[:3] == ["a0", "b0", "a1"]


def test_clients_take_turns_and_each_ones_films_stay_in_order() -> None:
    async def scene() -> list[str]:
        hall = Hall(1)
        await hall.comes("a0", "a1", "a2", "a3", "b0", "b1", "b2", "c0")
        return await hall.ends_all_in_order()

    assert run(scene) == ["a0", "b0", "c0", "a1", "b1", "a2", "b2", "a3"]


def test_a_client_who_holds_a_turn_lets_one_go_first_who_holds_none() -> None:
    async def scene() -> list[str]:
        hall = Hall(2)
        await hall.comes("a0", "c0", "a1", "b0")
        await hall.ends("c0")
        return hall.called

    assert run(scene) == ["a0", "c0", "b0"]


def test_newcomers_without_end_pass_over_nobody() -> None:
    async def scene() -> list[str]:
        hall = Hall(1)
        await hall.comes("a0", "a1", "b0")
        await hall.ends("a0")
        for newcomer, ending in (("c0", "b0"), ("d0", "a1"), ("e0", "c0")):
            await hall.comes(newcomer)
            await hall.ends(ending)
        return hall.called

    assert run(scene) == ["a0", "b0", "a1", "c0", "d0"]


def test_who_waited_elsewhere_before_keeps_the_time() -> None:
    async def scene() -> list[str]:
        hall = Hall(1)
        await hall.comes("a0", "b0")
        await hall.comes("g0", since=time.monotonic() - 60)
        return await hall.ends_all_in_order()

    assert run(scene) == ["a0", "g0", "b0"]


def test_nobody_waits_while_a_turn_is_free() -> None:
    async def scene() -> list[str]:
        hall = Hall(2)
        await hall.comes("a0", "a1")
        return hall.called

    assert run(scene) == ["a0", "a1"]


@pytest.mark.parametrize("when", ["while waiting", "in the moment of being called"])
def test_who_leaves_takes_no_turn_along(when: str) -> None:
    async def scene() -> list[str]:
        hall = Hall(1)
        await hall.comes("a0", "b0", "c0")
        if when == "while waiting":
            hall.waiting["b0"].cancel()
            await settled()
            await hall.ends("a0")
        else:
            hall.turns.give_back("a")
            hall.waiting["b0"].cancel()
            await settled()
        await hall.ends("c0")
        await hall.comes("d0")
        return hall.called

    assert run(scene) == ["a0", "c0", "d0"]


def test_clients_are_forgotten() -> None:
    async def scene() -> tuple[int, int]:
        hall = Hall(1)
        await hall.comes("z0")
        for number in range(20):
            await hall.comes(chr(ord("a") + number) + "0")
        await hall.ends_all_in_order()
        return len(hall.turns._ended), len(hall.turns._held)

    assert run(scene) == (0, 0)


async def cancelled_in_the_moment_of_a_free_turn() -> list[str]:
    hall = Hall(1)
    await hall.comes("a1", "b1", "c1")
    hall.waiting["b1"].cancel()  # its task has not run yet
    hall.turns.give_back("a")
    await settled()
    await hall.ends("c1")
    await hall.comes("d1")
    return hall.called


def test_a_turn_that_comes_free_while_somebody_leaves_goes_to_the_next() -> None:
    assert asyncio.run(cancelled_in_the_moment_of_a_free_turn()) == ["a1", "c1", "d1"]
