"""Every door asks at one desk: turns, what was sent again, and what is counted."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from starlette.requests import ClientDisconnect

from predictors.errors import Busy, InternalError, ModelUnavailable, OutOfScope, SecondLookError, UnsupportedImage
from predictors.registry import Service
from space import desk as module
from space.desk import Desk, Door, Film, Question
from space.limits import Rate
from space.metrics import Metrics
from tests.running import ROOT

FILM = Film(b"a film", "film.png")


@pytest.fixture
def service() -> Service:
    """The models' records; no network is loaded."""
    return Service.open(ROOT / "weights")


@pytest.fixture
def desk(service: Service, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk that runs one network at a time."""
    monkeypatch.setattr(module, "AT_ONCE", 1)
    return Desk(Metrics(service))


def question(service: Service, door: Door = "rest", key: str = "", film: Film = FILM, **more: Any) -> Question:
    return Question(door, more.pop("route", "predict"), service["pneumonia"], [film], key, **more)


def counted(desk: Desk, name: str, **labels: str) -> float:
    return desk.metrics.registry.get_sample_value(f"second_look_{name}_total", {"model": "pneumonia", **labels}) or 0


def answered(desk: Desk, door: str = "rest") -> float:
    return counted(desk, "predictions", door=door, outcome="answered")


class Network:
    """Stands in for a network: answers its calls' number, and not before it is let."""

    def __init__(self, held: bool = False) -> None:
        self.calls: list[str] = []
        self.free = threading.Event()
        if not held:
            self.free.set()

    def __call__(self, source: Any, filename: str) -> int:
        self.calls.append(filename)
        assert self.free.wait(30)
        return len(self.calls)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


# Turns


def test_clients_at_all_doors_share_the_turns_first_come_first_served(desk: Desk, service: Service) -> None:
    network = Network(held=True)
    doors: list[Door] = ["rest", "gradio", "page", "mcp", "rest"]

    async def ask() -> None:
        asked = []
        for number, door in enumerate(doors):
            film = Film(b"", f"{number} by {door}")
            asked.append(asyncio.create_task(desk.ask(question(service, door, film=film, client=str(number)), network)))
            await until(lambda: bool(network.calls))
        await until(lambda: desk.waiting == len(doors) - 1)
        assert len(network.calls) == 1
        network.free.set()
        await asyncio.gather(*asked)

    asyncio.run(ask())
    assert network.calls == ["0 by rest", "1 by gradio", "2 by page", "3 by mcp", "4 by rest"]
    assert desk.waiting == 0


def test_as_many_run_beside_each_other_as_may_and_no_more(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    desk, network = Desk(Metrics(service)), Network(held=True)

    async def ask() -> None:
        asked = [asyncio.create_task(desk.ask(question(service), network)) for _ in range(3)]
        await until(lambda: len(network.calls) == 2)
        await until(lambda: desk.waiting == 1)
        network.free.set()
        await asyncio.gather(*asked)

    asyncio.run(ask())


def test_thirty_films_of_one_client_hold_up_anothers_single_film_by_one(desk: Desk, service: Service) -> None:
    network = Network(held=True)

    async def ask() -> None:
        asked = []
        for name in [*(f"many {number}" for number in range(30)), "single"]:
            film, client = Film(b"", name), name.split()[0]
            asked.append(asyncio.create_task(desk.ask(question(service, "mcp", film=film, client=client), network)))
        await until(lambda: desk.waiting == 30)
        network.free.set()
        await asyncio.gather(*asked)

    asyncio.run(ask())
    assert network.calls == ["many 0", "single", *(f"many {number}" for number in range(1, 30))]


def test_one_client_does_not_get_all_places(desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PLACES_OF_ONE", 2)
    network = Network(held=True)

    async def ask() -> None:
        asked = [asyncio.create_task(desk.ask(question(service, client="many"), network)) for _ in range(3)]
        await until(lambda: desk.waiting == 2)
        with pytest.raises(Busy):
            await desk.ask(question(service, client="many"), network)
        with pytest.raises(Busy):
            desk.turn_away_if_full(service["pneumonia"], "rest", "many")
        asked.append(asyncio.create_task(desk.ask(question(service, client="single"), network)))
        for _ in range(3):  # whoever runs the service for themselves may have them all
            asked.append(asyncio.create_task(desk.ask(question(service), network)))
        await until(lambda: desk.waiting == 6)
        network.free.set()
        await asyncio.gather(*asked)
        desk.turn_away_if_full(service["pneumonia"], "rest", "many")

    asyncio.run(ask())
    assert counted(desk, "predictions", door="rest", outcome="busy") == 2


def test_retry_after_is_the_queue_at_its_pace(desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE", 8)
    monkeypatch.setattr(module, "OF_LATE", 1)  # the last turn alone
    clock = 0.0
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock))
    assert desk.retry_after() == 1
    network = Network()

    async def ask() -> None:
        nonlocal clock

        def slow(source: Any, filename: str) -> int:
            nonlocal clock
            clock += 5
            return network(source, filename)

        await desk.ask(question(service), slow)
        network.free.clear()
        asked = [asyncio.create_task(desk.ask(question(service), network)) for _ in range(9)]
        await until(lambda: desk.waiting == 8)
        with pytest.raises(Busy) as busy:
            await desk.ask(question(service), network)
        assert busy.value.retry_after == 8 * 5
        desk.before = lambda: 4  # in Gradio's own queue
        assert desk.retry_after() == 60  # and no longer
        network.free.set()
        await asyncio.gather(*asked)

    asyncio.run(ask())


def test_rest_is_turned_away_when_its_places_are_taken_and_the_others_are_not(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_SIZE", 2)
    network = Network(held=True)

    async def ask() -> None:
        asked = [asyncio.create_task(desk.ask(question(service), network)) for _ in range(3)]
        await until(lambda: desk.waiting == 2)
        with pytest.raises(Busy):
            await desk.ask(question(service), network)
        with pytest.raises(Busy):
            desk.turn_away_if_full(service["pneumonia"], "rest", "another")
        asked.append(asyncio.create_task(desk.ask(question(service, "gradio"), network)))
        await until(lambda: desk.waiting == 3)
        network.free.set()
        await asyncio.gather(*asked)

    asyncio.run(ask())
    assert counted(desk, "predictions", door="rest", outcome="busy") == 2
    assert (answered(desk), answered(desk, "gradio")) == (3, 1)


def test_who_gave_up_waiting_is_not_predicted_and_holds_up_nobody(desk: Desk, service: Service) -> None:
    network = Network(held=True)

    async def gone() -> bool:
        return False

    async def ask() -> None:
        first = asyncio.create_task(desk.ask(question(service), network))
        await until(lambda: bool(network.calls))
        left = asyncio.create_task(desk.ask(question(service, still_there=gone), network))
        cancelled = asyncio.create_task(desk.ask(question(service), network))
        last = asyncio.create_task(desk.ask(question(service, film=Film(b"", "last")), network))
        await until(lambda: desk.waiting == 3)
        cancelled.cancel()
        network.free.set()
        with pytest.raises(ClientDisconnect):
            await left
        await asyncio.gather(first, last)

    asyncio.run(ask())
    assert network.calls == ["film.png", "last"]
    assert answered(desk) == 2


# What was sent again


def both(desk: Desk, *questions: Question, network: Network) -> list[Any]:
    async def ask() -> list[Any]:
        return [await desk.ask(each, network) for each in questions]

    return asyncio.run(ask())


def test_the_same_key_gets_the_stored_answer(desk: Desk, service: Service, tmp_path: Path) -> None:
    network = Network()
    (tmp_path / "film.png").write_bytes(b"a film")
    uploaded = Film(tmp_path / "film.png", "film.png")
    asked = [question(service, key="k"), question(service, key="k"), question(service, key="k", film=uploaded)]
    assert both(desk, *asked, network=network) == [1, 1, 1]
    assert (answered(desk), counted(desk, "repeated_answers", door="rest")) == (1, 2)


def test_another_key_film_name_route_or_door_is_another_question(desk: Desk, service: Service) -> None:
    asked = [
        question(service, key="k"),
        question(service, key="l"),
        question(service, key="k", film=Film(b"another film", "film.png")),
        question(service, key="k", film=Film(b"a film", "other.png")),
        question(service, key="k", route="heatmap"),
        question(service, "gradio", key="k"),
        question(service),
        question(service),  # without a key nothing is remembered
    ]
    assert both(desk, *asked, network=Network()) == list(range(1, 9))
    assert counted(desk, "repeated_answers", door="rest") == 0


def test_who_sends_again_while_the_first_still_runs_waits_for_that_answer(desk: Desk, service: Service) -> None:
    network = Network(held=True)

    async def ask() -> list[int]:
        asked = [asyncio.create_task(desk.ask(question(service, key="k"), network)) for _ in range(3)]
        await until(lambda: bool(network.calls))
        asked[1].cancel()  # its connection broke; the others' answer is not lost with it
        network.free.set()
        return await asyncio.gather(asked[0], asked[2])

    assert asyncio.run(ask()) == [1, 1]
    assert len(network.calls) == 1


def test_who_sends_again_takes_the_place_of_a_first_who_left_before_their_turn(desk: Desk, service: Service) -> None:
    network = Network(held=True)

    async def gone() -> bool:
        return False

    async def ask() -> int:
        running = asyncio.create_task(desk.ask(question(service), network))
        await until(lambda: bool(network.calls))
        first = asyncio.create_task(desk.ask(question(service, key="k", still_there=gone), network))
        await until(lambda: desk.waiting == 1)
        again = asyncio.create_task(desk.ask(question(service, key="k"), network))
        await asyncio.sleep(0.1)
        network.free.set()
        with pytest.raises(ClientDisconnect):
            await first
        await running
        return await again

    assert asyncio.run(ask()) == 2
    assert answered(desk) == 2


@pytest.mark.parametrize(
    ("error", "calls"), [(OutOfScope("Send a chest film."), 1), (ModelUnavailable(), 2), (OSError("/home/x"), 2)]
)
def test_a_refusal_is_remembered_and_what_will_pass_is_not(
    desk: Desk, service: Service, error: Exception, calls: int
) -> None:
    network = Network()

    def refuse(source: Any, filename: str) -> None:
        network(source, filename)
        raise error

    expected = error if isinstance(error, SecondLookError) else InternalError()

    async def ask() -> None:
        for _ in range(2):
            with pytest.raises(type(expected)) as caught:
                await desk.ask(question(service, key="k"), refuse)
            assert str(caught.value) == str(expected)

    asyncio.run(ask())
    assert len(network.calls) == calls


def test_answers_are_forgotten_in_time(desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_FOR", 0.05)
    network = Network()

    async def ask() -> list[int]:
        first = await desk.ask(question(service, key="k"), network)
        await asyncio.sleep(0.3)
        return [first, await desk.ask(question(service, key="k"), network)]

    assert asyncio.run(ask()) == [1, 2]


def test_answers_never_take_more_memory_than_they_may(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_BYTES", 1_000_000)
    pictures: list[str] = []

    def heatmap(source: Any, filename: str) -> tuple[Image.Image, dict[str, Any]]:
        pictures.append(filename)
        return Image.new("RGB", (400, 400)), {}  # 480 kB

    async def ask() -> None:
        for key in ("a", "b", "c", "c", "b", "a"):
            await desk.ask(question(service, key=key), heatmap)

    asyncio.run(ask())
    assert len(pictures) == 4  # the oldest had to go, and was asked again


# Batches


def test_a_batch_costs_its_sender_what_its_films_cost(service: Service) -> None:
    rate = Rate(10)
    desk = Desk(Metrics(service), rate)
    films = [Film(b"no film", "")] * 10
    asyncio.run(desk.ask_batch(Question("rest", "batch", service["pneumonia"], films, client="many")))
    assert (rate.wait("many"), rate.wait("many") > 0) == (0, True)


def test_a_batch_takes_one_turn_and_each_of_its_films_is_counted(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def examine(source: Any, filename: str) -> None:
        raise OutOfScope if source == b"a limb" else UnsupportedImage

    monkeypatch.setattr(service["pneumonia"], "examine", examine)
    films = [Film(b"a limb", "1"), Film(b"a letter", "2"), Film(b"a limb", "3")]
    asked = Question("gradio", "batch", service["pneumonia"], films, key="k")

    def ask(batch: Callable[[Question], Awaitable[Any]]) -> Any:
        async def twice() -> Any:
            return [await batch(asked), await batch(asked)]

        return asyncio.run(twice())

    first, second = ask(desk.ask_batch)
    assert first == second
    assert [row["filename"] for row in first["results"]] == ["1", "2", "3"]
    assert counted(desk, "predictions", door="gradio", outcome="out_of_scope") == 2
    assert counted(desk, "predictions", door="gradio", outcome="unsupported_image") == 1
    assert counted(desk, "repeated_answers", door="gradio") == 1
