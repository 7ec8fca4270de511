"""The drill: a Space sleeps, breaks off, is full, restarts, and the Python client gives exactly one correct answer."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import second_look
from PIL import Image, ImageOps
from second_look.connection import Connection

from predictors.errors import FileTooLarge, UnsupportedImage
from predictors.image import MAX_BYTES
from tests.clients.callers import Clock, connected, expected, timeless
from tests.clients.sleeping import SleepingSpace, sleeping_space
from tests.drawings import encoded
from tests.running import ROOT

# What passes

BEFORE_THE_APP: list[dict[str, Any]] = [
    {"cut": "upload"},
    {"cut": "join", "times": 2},
    {"queue_full": 2},
    {"status": 429, "retry_after": 2, "times": 2},
    {"status": 502},
    {"status": 503, "times": 2},
    {"status": 504},
]
AFTER_THE_APP: list[dict[str, Any]] = [{"cut": "joined"}, {"cut": "answer"}]


@pytest.mark.parametrize("trouble", BEFORE_THE_APP, ids=json.dumps)
def test_what_never_reached_the_app_is_sent_again(
    awake: SleepingSpace, client: second_look.SecondLook, clock: Clock, drawn: dict[str, Path], trouble: dict[str, Any]
) -> None:
    predictions, repeated = awake.counted("pneumonia")
    awake.tell(**trouble)
    answer = client.pneumonia(drawn["chest"])
    assert awake.counted("pneumonia") == (predictions + 1, repeated)
    assert timeless(answer) == expected(awake, "pneumonia", drawn["chest"])
    assert len(clock.slept) == trouble.get("times", trouble.get("queue_full", 1))
    assert min(clock.slept) >= trouble.get("retry_after", 0)
    if "queue_full" in trouble:
        assert min(clock.slept) >= 2  # what the app says to a full queue


@pytest.mark.parametrize("trouble", AFTER_THE_APP, ids=json.dumps)
def test_what_the_app_has_computed_it_does_not_compute_again(
    awake: SleepingSpace, client: second_look.SecondLook, drawn: dict[str, Path], trouble: dict[str, Any]
) -> None:
    predictions, repeated = awake.counted("pneumonia")
    awake.tell(**trouble)
    answer = client.pneumonia(drawn["chest"])
    assert awake.counted("pneumonia") == (predictions + 1, repeated + 1)
    assert timeless(answer) == expected(awake, "pneumonia", drawn["chest"])
    keys = {each["key"] for each in awake.told()["requests"] if each["path"].endswith("/join")}
    assert len(keys) == 1


@pytest.mark.parametrize("model", ["pneumonia", "pneumonia_heatmap"])
def test_a_stream_that_breaks_off_costs_no_second_prediction(
    awake: SleepingSpace, client: second_look.SecondLook, drawn: dict[str, Path], model: str
) -> None:
    predictions, _ = awake.counted("pneumonia")
    awake.tell(cut="stream", times=2)
    if model == "pneumonia":
        client.pneumonia(drawn["chest"])
    else:
        client.heatmap("pneumonia", drawn["chest"])
    # The event may have been taken from the queue by then, or not; either way it is computed once.
    assert awake.counted("pneumonia")[0] == predictions + 1


def test_every_call_is_a_new_request(
    awake: SleepingSpace, client: second_look.SecondLook, drawn: dict[str, Path]
) -> None:
    predictions, repeated = awake.counted("pneumonia")
    for _ in range(2):
        client.pneumonia(drawn["chest"])
    assert awake.counted("pneumonia") == (predictions + 2, repeated)


def test_a_sleeping_space_is_woken(asleep: SleepingSpace, clock: Clock, drawn: dict[str, Path]) -> None:
    asleep.tell(sleep=True, build=True, after=2, late=2)
    predictions, repeated = asleep.counted("pneumonia")
    told: list[second_look.Status] = []
    with second_look.connect(asleep.id, hub=asleep.hub, pace=clock.pace(), on_status=told.append) as client:
        answer = client.pneumonia(drawn["chest"])
    assert [str(each) for each in told] == ["waking", *["building"] * 2, *["starting"] * 4, "queued 1 of 1", "running"]
    assert [each.attempt for each in told[:7]] == list(range(1, 8))
    assert sum(each.retry_in or 0 for each in told) == pytest.approx(clock())
    assert timeless(answer) == expected(asleep, "pneumonia", drawn["chest"])
    assert asleep.counted("pneumonia") == (predictions + 1, repeated)


def test_a_space_that_falls_asleep_under_a_client_is_woken_again(
    awake: SleepingSpace, client: second_look.SecondLook, drawn: dict[str, Path]
) -> None:
    client.pneumonia(drawn["chest"])
    awake.tell(sleep=True, build=True)
    client.pneumonia(drawn["chest"])
    assert awake.told()["stages"] == ["SLEEPING", "BUILDING", "APP_STARTING", "RUNNING"]


def test_a_plain_address_is_woken_too(asleep: SleepingSpace, clock: Clock, drawn: dict[str, Path]) -> None:
    with second_look.connect(asleep.space, pace=clock.pace()) as client:
        answer = client.pneumonia(drawn["chest"])
    assert timeless(answer) == expected(asleep, "pneumonia", drawn["chest"])
    assert asleep.told()["polls"] == []


def test_a_restart_during_the_queue_loses_nobody(awake: SleepingSpace, clock: Clock, drawn: dict[str, Path]) -> None:
    film = Image.open(drawn["chest"])
    films = [film, ImageOps.mirror(film), film.crop((8, 8, 552, 552)), film.crop((16, 0, 560, 544))]

    async def ask_all() -> list[Any]:
        async with connected(awake, clock) as client:
            awake.tell(cut="stream", restart=True)
            return await asyncio.gather(*(client.pneumonia(each) for each in films))

    before = awake.told()["app"]
    found = asyncio.run(ask_all())
    assert awake.told()["app"] != before
    predicted, repeated = awake.counted("pneumonia")  # by the second process: the first may have answered some
    assert 1 <= predicted <= len(films)
    assert repeated == 0
    for each, answer in zip(films, found, strict=True):
        assert timeless(answer) == expected(awake, "pneumonia", encoded(each, "PNG"))


@pytest.mark.parametrize("lost", ["/nowhere/film.png", "{}.gone"])
def test_an_upload_that_the_app_no_longer_has_is_sent_again(
    awake: SleepingSpace,
    client: second_look.SecondLook,
    clock: Clock,
    drawn: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    upload, uploads = Connection.upload, 0

    async def sometimes_lost(connection: Connection, batch: Any) -> Any:
        nonlocal uploads
        uploads += 1
        sent = await upload(connection, batch)
        return sent if uploads == 2 else [{**each, "path": lost.format(each["path"])} for each in sent]

    monkeypatch.setattr(Connection, "upload", sometimes_lost)
    answer = client.pneumonia(drawn["chest"])
    assert timeless(answer) == expected(awake, "pneumonia", drawn["chest"])
    assert (uploads, len(clock.slept)) == (2, 1)
    with pytest.raises(second_look.Refused):  # once is doubt, twice is an answer
        client.pneumonia(drawn["chest"])
    assert uploads == 4


def test_in_real_time_the_app_starts_when_the_space_wakes(drawn: dict[str, Path]) -> None:
    told: list[str] = []
    with (
        sleeping_space(real=True, build=True) as space,
        second_look.connect(
            space.id,
            hub=space.hub,
            deadline=120,
            pace=second_look.Pace(cap=2),
            on_status=lambda each: told.append(str(each)),
        ) as client,
    ):
        answer = client.pneumonia(drawn["chest"])
        assert space.counted("pneumonia") == (1, 0)
        assert timeless(answer) == expected(space, "pneumonia", drawn["chest"])
    assert list(dict.fromkeys(told)) == ["waking", "building", "starting", "queued 1 of 1", "running"]


# What it gives up on


@pytest.mark.parametrize(
    ("stage", "error"), [("PAUSED", second_look.SpacePaused), ("RUNTIME_ERROR", second_look.SpaceBroken)]
)
def test_it_does_not_wait_for_what_will_not_come(
    awake: SleepingSpace, clock: Clock, stage: str, error: type[Exception]
) -> None:
    awake.tell(stage=stage)
    with pytest.raises(error):
        second_look.connect(awake.id, hub=awake.hub, pace=clock.pace())
    assert clock.slept == []


def test_a_space_that_is_not_there(awake: SleepingSpace, clock: Clock) -> None:
    with pytest.raises(second_look.SpaceForbidden):
        second_look.connect("some/other", hub=awake.hub, pace=clock.pace())
    with pytest.raises(second_look.SpaceNotFound):  # a server, and nothing of ours on it
        second_look.connect(awake.hub, pace=clock.pace())
    assert clock.slept == []


def test_the_deadline_says_what_it_waited_for(awake: SleepingSpace, clock: Clock, drawn: dict[str, Path]) -> None:
    awake.tell(stage="BUILDING")
    client = second_look.SecondLook(awake.id, hub=awake.hub, pace=clock.pace())
    with client, pytest.raises(second_look.DeadlineExceeded, match=r"within 60 seconds.*still being built"):
        client.pneumonia(drawn["chest"], deadline=60)
    assert clock() == pytest.approx(60)


def test_a_refusal_is_not_sent_again(awake: SleepingSpace, client: second_look.SecondLook, clock: Clock) -> None:
    with pytest.raises(second_look.Refused) as refused:
        client.pneumonia(b"no film at all")
    assert (refused.value.code, str(refused.value)) == (UnsupportedImage.code, UnsupportedImage.sentence)
    with pytest.raises(second_look.Refused) as too_large:
        client.pneumonia(bytes(MAX_BYTES + 9))
    assert (too_large.value.code, str(too_large.value)) == (FileTooLarge.code, FileTooLarge.sentence)
    assert clock.slept == []


@pytest.mark.parametrize("how", ["event", "close"])
def test_a_call_that_waits_can_be_cancelled(awake: SleepingSpace, drawn: dict[str, Path], how: str) -> None:
    awake.tell(stage="BUILDING")
    client, cancel = second_look.SecondLook(awake.id, hub=awake.hub), threading.Event()
    stop = cancel.set if how == "event" else client.close
    threading.Timer(0.3, stop).start()
    began = time.monotonic()
    with client, pytest.raises(second_look.Cancelled):
        client.pneumonia(drawn["chest"], cancel=cancel)
    assert time.monotonic() - began < 20
    with pytest.raises(second_look.Cancelled):
        client.pneumonia(drawn["chest"])


def test_a_call_made_just_as_the_client_is_closed_ends(awake: SleepingSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    awake.tell(stage="BUILDING")
    client, hand_over = second_look.SecondLook(awake.id, hub=awake.hub), asyncio.run_coroutine_threadsafe
    closing = threading.Thread(target=client.close)

    def while_another_closes(*work: Any) -> Any:
        monkeypatch.undo()
        closing.start()
        closing.join(0.2)
        return hand_over(*work)

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", while_another_closes)
    for_ever = threading.Event()
    giving_up = threading.Timer(20, for_ever.set)
    giving_up.start()
    with pytest.raises(second_look.Cancelled):
        client.wake(cancel=for_ever)
    giving_up.cancel()
    assert not for_ever.is_set()
    closing.join(20)
    assert not closing.is_alive()


def test_a_cancelled_task_leaves_the_apps_queue(awake: SleepingSpace, clock: Clock, drawn: dict[str, Path]) -> None:
    def seen() -> list[str]:
        return [each["path"] for each in awake.told()["requests"]]

    async def ask_and_leave() -> None:
        async with connected(awake, clock) as client:
            awake.tell(hold=60)
            call = asyncio.create_task(client.pneumonia(drawn["chest"]))
            while "/gradio_api/queue/data" not in seen():
                await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            while "/gradio_api/cancel" not in seen():
                await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(ask_and_leave(), 60))


LEAVES = """
import sys, threading
import second_look
client = second_look.SecondLook(sys.argv[1])
threading.Thread(target=client.pneumonia, args=(sys.argv[2],), daemon=True).start()
sys.stdin.readline()
"""


def test_a_program_can_end_while_a_call_goes_on(awake: SleepingSpace, drawn: dict[str, Path]) -> None:
    awake.tell(hold=300)
    command = [sys.executable, "-c", LEAVES, awake.space, str(drawn["chest"])]
    path = {**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python" / "src")}
    with subprocess.Popen(command, env=path, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        while "/gradio_api/queue/data" not in [each["path"] for each in awake.told()["requests"]]:
            time.sleep(0.1)
        program.communicate("\n", timeout=30)
    assert program.returncode == 0
