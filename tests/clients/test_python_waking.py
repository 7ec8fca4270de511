"""When the Python client asks again and when it gives up: its rules, under fake time and without a server."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from second_look.errors import (
    DeadlineExceeded,
    Refused,
    SecondLookError,
    SpaceBroken,
    SpaceForbidden,
    SpaceNotFound,
    SpacePaused,
)
from second_look.waking import NotYet, Pace, Reply, Status, Teller, Whereabouts, judge, persist

from tests.clients.callers import Clock

T = TypeVar("T")
HUB, SPACE, HOST = "https://hub.example", "owner/name", "https://owner-name.example"


def tried(clock: Clock, attempt: Callable[[Teller], Awaitable[T]], **more: Any) -> T:
    return asyncio.run(persist(attempt, more.pop("deadline", 300), clock.pace(**more), None))


def failing(*failures: Exception, then: str = "answer") -> Callable[[Teller], Awaitable[str]]:
    left = list(failures)

    async def attempt(_: Teller) -> str:
        if left:
            raise left.pop(0)
        return then

    return attempt


def not_yet(retry_after: float = 0) -> NotYet:
    return NotYet("starting", "Still starting.", retry_after)


# How often


def test_pauses_grow_to_their_cap() -> None:
    clock = Clock()
    assert tried(clock, failing(*[not_yet()] * 7), random=lambda: 1.0) == "answer"
    assert clock.slept == [1, 2, 4, 8, 15, 15, 15]


def test_pauses_are_spread_over_their_whole_range() -> None:
    chance = random.Random(1)
    pauses = [Pace(random=chance.random).pause(4, 0) for _ in range(2000)]
    assert min(pauses) < 0.1
    assert max(pauses) > 7.9
    assert max(pauses) <= 8
    assert sum(pauses) / len(pauses) == pytest.approx(4, abs=0.2)


def test_retry_after_is_the_least_pause_and_not_the_longest() -> None:
    clock = Clock()
    tried(clock, failing(not_yet(30), not_yet(0.1)), random=lambda: 0.5)
    assert clock.slept == [30, 1]


def test_one_deadline_covers_all_tries_and_says_what_it_waited_for() -> None:
    clock = Clock()
    with pytest.raises(DeadlineExceeded, match=r"^No answer within 60 seconds\. Still starting\.$"):
        tried(clock, failing(*[not_yet()] * 1000), deadline=60, random=lambda: 1.0)
    assert clock() == 60  # not a second longer, and none wasted


def test_a_pause_that_the_server_asks_for_beyond_the_deadline_is_not_slept() -> None:
    clock = Clock()
    with pytest.raises(DeadlineExceeded):
        tried(clock, failing(not_yet(3600)))
    assert clock.slept == []


def test_a_try_that_hangs_ends_with_the_deadline() -> None:
    async def hangs(_: Teller) -> None:
        await asyncio.sleep(60)

    with pytest.raises(DeadlineExceeded, match="took too long"):
        asyncio.run(persist(hangs, 0.05, Pace(), None))


def test_a_cancellation_that_comes_just_as_a_try_ends_is_not_lost() -> None:
    tries = 0

    async def cancel_as_it_ends() -> None:
        call = asyncio.current_task()
        assert call

        async def attempt(_: Teller) -> str:
            nonlocal tries
            tries += 1
            asyncio.get_running_loop().call_soon(call.cancel)
            raise not_yet()

        with pytest.raises(asyncio.CancelledError):
            await persist(attempt, 5, Pace(base=0.01), None)

    asyncio.run(cancel_as_it_ends())
    assert tries == 1


@pytest.mark.parametrize("error", [Refused("out_of_scope", "No."), SpacePaused(), OSError(), ValueError()])
def test_nothing_else_is_tried_again(error: Exception) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        tried(clock, failing(error))
    assert clock.slept == []


def test_statuses_are_told_once_each_in_words() -> None:
    async def attempt(tell: Teller) -> None:
        if tell.attempt == 1:
            raise not_yet()
        tell("queued", 3, 7)
        tell("queued", 3, 7)
        tell("running")

    told: list[Status] = []
    asyncio.run(persist(attempt, 60, Clock().pace(random=lambda: 0.5), told.append))
    assert [str(status) for status in told] == ["starting", "queued 3 of 7", "running"]
    assert told[0] == Status("starting", attempt=1, retry_in=0.5)
    assert told[1] == Status("queued", attempt=2, position=3, of=7)


# What will pass, and what will not


@pytest.mark.parametrize(
    ("status", "stage"), [(429, "queued"), (502, "starting"), (503, "starting"), (504, "starting")]
)
def test_these_statuses_will_pass(status: int, stage: str) -> None:
    with pytest.raises(NotYet) as passing:
        judge(status, 7)
    assert (passing.value.stage, passing.value.retry_after) == (stage, 7)


@pytest.mark.parametrize(("code", "stage"), [("busy", "queued"), ("model_loading", "starting")])
def test_the_services_own_words_for_a_503_are_handed_on(code: str, stage: str) -> None:
    with pytest.raises(NotYet, match="In its words") as passing:
        judge(503, 2, code, "In its words.")
    assert passing.value.stage == stage


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Refused),
        (401, SpaceForbidden),
        (403, SpaceForbidden),
        (404, SpaceNotFound),
        (413, Refused),
        (422, Refused),
        (500, Refused),
    ],
)
def test_these_statuses_will_not(status: int, error: type[SecondLookError]) -> None:
    with pytest.raises(error):
        judge(status, 7)


def test_a_refusal_keeps_its_code_and_its_sentence() -> None:
    with pytest.raises(Refused, match=r"^Too large\.$") as refused:
        judge(413, 0, "file_too_large", "Too large.")
    assert refused.value.code == "file_too_large"


# What the Hub says


class Web:
    """A Hub, and a Space's host that turns everybody away."""

    def __init__(self, stage: str | None = "RUNNING", hub_status: int = 200) -> None:
        self.stage, self.hub_status = stage, hub_status
        self.asked: list[str] = []
        self.knocked: list[str] = []

    async def ask(self, address: str) -> Reply:
        self.asked.append(address)
        answers = {
            f"{HUB}/api/spaces/{SPACE}": {"id": SPACE, "runtime": {"stage": self.stage}},
            f"{HUB}/api/spaces/{SPACE}/host": {"host": HOST},
        }
        return Reply(self.hub_status, answers[address] if self.hub_status == 200 else None, 5)

    async def knock(self, address: str) -> Reply:
        self.knocked.append(address)
        raise not_yet()

    def look(self, space: str = SPACE) -> str:
        return asyncio.run(Whereabouts(space, HUB, self.ask, self.knock).awake())


@pytest.mark.parametrize("stage", ["RUNNING", "RUNNING_BUILDING", "A_STAGE_OF_TOMORROW"])
def test_it_goes_on_where_the_space_runs(stage: str) -> None:
    web = Web(stage)
    assert (web.look(), web.knocked) == (HOST, [])


@pytest.mark.parametrize(
    ("stage", "told"),
    [
        ("SLEEPING", "waking"),
        ("BUILDING", "building"),
        ("APP_STARTING", "starting"),
        ("RUNNING_APP_STARTING", "starting"),
    ],
)
def test_it_waits_where_the_space_will_run_and_wakes_one_that_sleeps(stage: str, told: str) -> None:
    web = Web(stage)
    with pytest.raises(NotYet) as passing:
        web.look()
    assert passing.value.stage == told
    assert web.knocked == ([f"{HOST}/"] if stage == "SLEEPING" else [])


@pytest.mark.parametrize(
    ("stage", "error"),
    [
        ("PAUSED", SpacePaused),
        ("STOPPED", SpacePaused),
        ("RUNTIME_ERROR", SpaceBroken),
        ("BUILD_ERROR", SpaceBroken),
        ("CONFIG_ERROR", SpaceBroken),
        ("NO_APP_FILE", SpaceBroken),
        ("DELETING", SpaceNotFound),
    ],
)
def test_it_gives_up_where_the_space_never_will(stage: str, error: type[SecondLookError]) -> None:
    with pytest.raises(error) as final:
        Web(stage).look()
    assert str(final.value).count(".") == 1  # one sentence


@pytest.mark.parametrize(
    ("status", "error"), [(401, SpaceForbidden), (404, SpaceNotFound), (503, NotYet), (429, NotYet)]
)
def test_the_hub_itself_may_refuse_or_be_busy(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        Web(hub_status=status).look()


def test_a_plain_address_has_no_hub_to_ask() -> None:
    web = Web()
    assert web.look("http://127.0.0.1:7860/") == "http://127.0.0.1:7860"
    assert web.asked == []
