"""Many callers at once: each gets the answer to its own film, or is told when to come again."""

import asyncio
import csv
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from space.desk import AT_ONCE
from space.gradio.line import AT_THE_DESK
from tests.load.__main__ import EACH_A_CLIENT, main
from tests.load.callers import Busy, Caller, Tally, address
from tests.load.known import ANSWER, Known, Question, Told, comparable
from tests.load.levels import milliseconds, share_of_slowest
from tests.load.watch import taken
from tests.running import ROOT, Space, running_space, until_ready

PLACES = 6

HELD = f"""
import predictors.predictor, space.desk, time
from pathlib import Path
space.desk.QUEUE_SIZE, space.desk.PLACES_OF_ONE = {PLACES}, {PLACES // 2}
examine = predictors.predictor.Predictor.examine
def held(self, *film):
    if Path(HOLD).exists():
        with Path(HOLD).open("a") as held:
            held.write("x")
    while Path(HOLD).exists():
        time.sleep(0.01)
    return examine(self, *film)
predictors.predictor.Predictor.examine = held
"""
"""Films are not examined while there is a file of the name HOLD, which gets a letter for each of them."""


@pytest.fixture(scope="module")
def known() -> Known:
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    return Known()


@pytest.fixture(scope="module")
def hold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hold") / "hold"


@pytest.fixture(scope="module")
def busy_space(known: Known, hold: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with running_space(tmp_path_factory.mktemp("load"), f"{EACH_A_CLIENT}HOLD = {str(hold)!r}{HELD}") as space:
        until_ready(space)
        yield space


def queue_length(space: Space) -> int:
    text = httpx.get(f"{space.url}/metrics").text
    return int(float(text.split("\nsecond_look_queue_length ")[1].split()[0]))


def until(true: Any) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_no_two_callers_are_told_the_same(known: Known) -> None:
    answers = [
        [question.expected for question in known.questions(caller) if question.door == "predict"] for caller in (0, 1)
    ]
    same = [one for one, other in zip(*answers, strict=True) if one == other and one.code == ANSWER]
    assert not same
    assert {told.code for told in answers[0]} >= {ANSWER, "corrupt_image", "unsupported_image"}


def test_sixteen_callers_at_once_are_each_told_about_their_own_film(known: Known, busy_space: Space) -> None:
    tally = Tally()

    async def ask() -> None:
        callers = [Caller(busy_space.url, number, []) for number in range(16)]
        # About two patients' films: a caller beside another asks about the other one's, so that a mix-up would show.
        asked = [known.questions(number) for number in range(2)]
        for turn in range(2):
            questions = [asked[number % 2][(number // 2 * 3 + turn * 11) % len(asked[0])] for number in range(16)]
            await asyncio.gather(*(patiently(caller, each) for caller, each in zip(callers, questions, strict=True)))
        for caller in callers:
            await caller.close()

    async def patiently(caller: Caller, question: Question) -> None:
        while True:
            try:
                return await caller.ask(question, tally)
            except Busy as busy:
                await asyncio.sleep(busy.retry_after)

    asyncio.run(ask())
    assert (tally.faults, tally.answered.total()) == ([], 32)


def test_full_places_are_busy_at_every_door_and_recover(known: Known, busy_space: Space, hold: Path) -> None:
    asked = next(each for each in known.questions(0) if (each.door, each.model) == ("predict", "pneumonia"))
    (film,) = asked.films
    (path,) = httpx.post(f"{busy_space.url}/gradio_api/upload", files={"files": film}).json()
    data = {"data": [{"path": path, "meta": {"_type": "gradio.FileData"}}], "session_hash": "s", "fn_index": 0}

    def rest(client: int, door: str = "predict", field: str = "file") -> httpx.Response:
        url, headers = f"{busy_space.url}/api/pneumonia/{door}", {"X-Forwarded-For": address(client)}
        return httpx.post(url, files={field: film}, headers=headers, timeout=30)

    def gradio(client: int, door: str = "call/pneumonia") -> httpx.Response:
        url, headers = f"{busy_space.url}/gradio_api/{door}", {"X-Forwarded-For": address(client)}
        return httpx.post(url, json=data, headers=headers, timeout=30)

    def refused(reply: httpx.Response) -> bool:
        if reply.status_code != 503:
            return False
        assert reply.json()["code"] == "busy"
        assert 1 <= int(reply.headers["Retry-After"]) <= 60
        return True

    hold.touch()
    with ThreadPoolExecutor(2 * PLACES + 8) as callers:
        try:
            taken = [callers.submit(rest, 100 + number) for number in range(AT_ONCE)]
            until(lambda: len(hold.read_text()) == AT_ONCE)  # every turn
            # One client alone: its own places fill up, at every door.
            taken += [callers.submit(rest, 1) for _ in range(PLACES // 2)]
            until(lambda: queue_length(busy_space) == PLACES // 2)
            assert refused(rest(1))
            assert refused(rest(1, "batch-predict", "files"))
            assert refused(rest(1, "heatmap"))
            for _ in range(AT_THE_DESK):
                assert gradio(1).status_code == 200
            until(lambda: queue_length(busy_space) == PLACES // 2 + AT_THE_DESK)
            for _ in range(PLACES // 2):
                assert gradio(1).status_code == 200
            assert refused(gradio(1))
            assert refused(gradio(1, "queue/join"))
            # Others still get in, until all places are taken.
            taken += [callers.submit(rest, 2) for _ in range(PLACES // 2)]
            until(lambda: queue_length(busy_space) == 3 * (PLACES // 2) + AT_THE_DESK)
            assert refused(rest(3))
            for _ in range(PLACES // 2):
                assert gradio(2).status_code == 200
            assert refused(gradio(3))
        finally:
            hold.unlink()
        replies = [each.result() for each in taken]
    for reply in replies:
        assert Told(ANSWER, comparable(reply.json())) == asked.expected
    until(lambda: queue_length(busy_space) == 0)
    assert (rest(1).status_code, gradio(1).status_code) == (200, 200)


def test_the_command_counts_a_wrong_answer(
    known: Known, busy_space: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = known.questions(0)

    class Misled:
        def questions(self, caller: int) -> list[Question]:
            (question, *_) = [each for each in right if each.door == "predict"]
            wrong = Told(ANSWER, {**question.expected.content, "predicted_label": "hat"})
            return [question if caller else Question(question.door, question.model, question.films, wrong)]

    monkeypatch.setattr("tests.load.__main__.Known", Misled)
    out = tmp_path / "load.csv"
    options = ["--url", busy_space.url, "--pid", str(busy_space.pid), "--minutes", "0.01", "--out", str(out)]
    assert main(["--callers", "2", *options]) == 1
    together, alone = csv.DictReader(out.open())
    assert (together["door"], alone["door"]) == ("all", "predict")
    assert int(together["wrong"]) > 0
    assert int(together["answered"]) > 0
    assert float(together["rss_mib"]) > 100
    assert "predicted_label" in capsys.readouterr().out


# The figures


def test_percentiles_and_shares() -> None:
    figures = milliseconds([0.01] * 98 + [0.03, 0.05])
    assert figures == {"p50_ms": 10.0, "p99_ms": 30.2, "max_ms": 50.0, "p99_over_p50": 3.02}
    tally = Tally()
    tally.by_caller.update({0: 30, 1: 10})
    assert share_of_slowest(tally, 2) == 0.5
    assert share_of_slowest(tally, 3) == 0
    past = tally.emptied()
    assert (past.by_caller.total(), tally.by_caller.total()) == (40, 0)


def test_what_a_process_takes(busy_space: Space) -> None:
    figures = taken(busy_space.pid, ROOT / "weights" / "scope")
    assert figures.rss >= figures.pss > 100
    assert figures.threads > 4
    assert figures.open_files > 5
    assert figures.files_on_disk >= 2
