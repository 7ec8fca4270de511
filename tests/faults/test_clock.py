"""A clock that is set forwards or back by hours: no film goes while it waits for its answer, and none stays on."""

import asyncio
import time
from pathlib import Path

import pytest

from predictors.errors import ModelUnavailable
from predictors.loading import Loaded
from predictors.registry import Service
from space import uploads
from space.desk import Desk, Film, Question
from space.limits import Rate
from space.metrics import Metrics
from space.uploads import swept
from tests.running import ROOT

HOURS = 5 * 3600.0


@pytest.mark.parametrize("by", [HOURS, -HOURS])
def test_a_jump_makes_films_young_and_then_they_go_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: float
) -> None:
    """A test cannot set the system's clock, by which files are dated; it tells the sweep that somebody did."""
    monkeypatch.setattr(uploads, "CHECK_EVERY", 0.02)
    monkeypatch.setattr(uploads, "KEEP_FOR", 0.6)
    film = tmp_path / "uploads" / "of its own" / "film.png"
    film.parent.mkdir(parents=True)

    async def service() -> None:
        async with swept(tmp_path / "uploads"):
            film.touch()
            created = film.stat().st_ctime
            await asyncio.sleep(0.3)
            ahead = uploads._ahead
            monkeypatch.setattr(uploads, "_ahead", lambda: ahead() + by)
            jumped = time.monotonic()
            while film.exists():
                assert time.monotonic() - jumped < 10
                await asyncio.sleep(0.01)
            assert time.monotonic() - jumped > 0.5  # counted from the jump, not from 0.3 s before it
            assert time.time() - created > 0.8
            while film.parent.exists():
                assert time.monotonic() - jumped < 10
                await asyncio.sleep(0.01)

    asyncio.run(service())


def test_the_clock_is_ahead_by_as_much_as_it_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    before, real = uploads._ahead(), time.time
    monkeypatch.setattr(time, "time", lambda: real() - HOURS)
    assert uploads._ahead() - before == pytest.approx(-HOURS, abs=1)


def test_who_waits_does_not_ask_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The desk's memory of answers, the limit of films a minute, the pause after a model that could not be loaded."""
    service = Service.open(ROOT / "weights")
    desk, rate = Desk(Metrics(service)), Rate(2)

    def fail() -> str:
        attempts.append("")
        raise ModelUnavailable("not here")

    attempts: list[str] = []
    loaded: Loaded[str] = Loaded(fail)
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead[0])

    async def ask() -> int:
        answers: list[int] = []
        for set_by in (0.0, HOURS, -HOURS):
            ahead[0] = set_by
            asked = Question("rest", "predict", service["pneumonia"], [Film(b"a film", "f")], "key")
            answers.append(await desk.ask(asked, lambda *_: len(answers)))
            with pytest.raises(ModelUnavailable):
                loaded.get()
        assert set(answers) == {0}
        return rate.wait("one") or rate.wait("one") or rate.wait("one")

    assert asyncio.run(ask()) > 0
    ahead[0] = HOURS
    assert rate.wait("one") > 0
    assert len(attempts) == 1
