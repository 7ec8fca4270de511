"""Gradio's queue: its order, in which its callers are told their places."""

import random
from types import SimpleNamespace
from typing import Any

from space.gradio.line import FairLine
from space.limits import JOINED


def event(name: str) -> Any:
    """The first letter is the client."""
    return SimpleNamespace(name=name, enqueue_time=7.0, request=SimpleNamespace(scope={"client": (name[0], 0)}))


def line(*names: str, running: tuple[str, ...] = ()) -> FairLine:
    events = FairLine(lambda: [event(name) for name in running])
    for name in names:
        events.append(event(name))
    return events


def order(events: Any) -> str:
    return " ".join(each.name for each in events)


def test_everyones_first_film_comes_before_anyones_second() -> None:
    assert order(line("a0", "a1", "a2", "b0", "b1", "c0")) == "a0 b0 c0 a1 b1 a2"


def test_what_runs_counts_as_had() -> None:
    assert order(line("a2", "a3", "b0", running=("a0", "a1"))) == "b0 a2 a3"
    assert order(line("b1", "a0", running=("b0",))) == "a0 b1"


def test_one_clients_films_stay_in_order_whatever_runs_meanwhile() -> None:
    chance = random.Random(0)
    running: list[Any] = []
    events = FairLine(lambda: running)
    joined = dict.fromkeys("abcd", 0)
    for _ in range(2000):
        if chance.random() < 0.5:
            client = chance.choice("aaabcd")
            events.append(event(f"{client}{joined[client]:05}"))
            joined[client] += 1
        elif events:
            running.append(events.pop(0))
        if len(running) > 4:
            running.pop(chance.randrange(len(running)))
        for client in joined:
            own = [each.name for each in events if each.name[0] == client]
            assert own == sorted(own)


def test_who_has_had_nothing_waits_for_one_film_of_each_other_client_at_most() -> None:
    events = line(*(f"{client}{number}" for client in "abc" for number in range(10)))
    events.append(event("d0"))
    assert [each.name for each in events].index("d0") == 3


def test_an_event_notes_since_when_it_waits() -> None:
    (only,) = line("a0")
    assert only.request.scope[JOINED] == 7.0
