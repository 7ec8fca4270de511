"""Eight callers for long, with strangers among them: a row for each minute, and whether anything grew."""

import asyncio
import time
from statistics import median
from typing import Any

from tests.load.callers import Caller, Tally
from tests.load.known import Known
from tests.load.levels import milliseconds
from tests.load.strangers import vanish_until
from tests.load.watch import Taken, taken
from tests.running import Space

CALLERS = 8
VANISHING = 2
CRAWL = 10.0
"""Seconds over which the slow caller sends each film."""

LOOK_EVERY = 5.0
SETTLED = 5
"""The minute from which nothing should grow: by then every network, thread and cache is there."""


async def soak(space: Space, known: Known, minutes: float) -> tuple[list[dict[str, Any]], bool]:
    """Its rows, printed too with the verdict, and whether all went well. Answers go to the minute they came in."""
    slow, *vanishing = range(CALLERS, CALLERS + 1 + VANISHING)
    everyone = [Caller(space.url, number, known.questions(number)) for number in range(CALLERS)]
    everyone.append(Caller(space.url, slow, known.questions(slow)[:1], over=CRAWL))
    tally, began = Tally(), time.monotonic()
    end = began + minutes * 60
    asking = asyncio.gather(
        *(caller.ask_until(end, tally) for caller in everyone),
        *(vanish_until(end, space.url, number, known.questions(number)[0]) for number in vanishing),
    )
    rows: list[dict[str, Any]] = []
    for minute in range(1, max(1, round(minutes)) + 1):
        looks = await _watched(space, min(end, began + minute * 60), asking)
        past = tally.emptied()
        rows.append(_row(minute, past, looks))
        print("  ".join(f"{name} {value}" for name, value in rows[-1].items()), flush=True)
        for fault in past.faults:
            print(f"  ! {fault}", flush=True)
    vanished = sum(times for times in await asking if times)
    for caller in everyone:
        await caller.close()
    rest = tally.emptied()  # what was asked in the last moment
    return rows, _verdict(rows, rest, vanished)


async def _watched(space: Space, until: float, asking: "asyncio.Future[Any]") -> list[Taken]:
    looks = []
    while time.monotonic() < until and not asking.done():
        await asyncio.sleep(max(0.0, min(LOOK_EVERY, until - time.monotonic())))
        if space.pid:
            looks.append(await asyncio.to_thread(taken, space.pid, space.temporary))
    return looks


def _row(minute: int, tally: Tally, looks: list[Taken]) -> dict[str, Any]:
    def usual(name: str) -> float:
        return round(median(getattr(look, name) for look in looks)) if looks else 0

    times = [each for door, times in tally.seconds.items() if door != "slowly" for each in times]
    return {
        "minute": minute,
        "answered": tally.answered.total(),
        "refusals_foretold": tally.refusals,
        "sent_slowly": tally.answered["slowly"],
        "busy": tally.busy.total(),
        "failed": tally.failed.total(),
        "wrong": tally.wrong.total(),
        "films": tally.films,
        **milliseconds(times),
        "rss_mib": usual("rss"),
        "pss_mib": usual("pss"),
        "processes": usual("processes"),
        "threads": usual("threads"),
        "open_files": usual("open_files"),
        "files_on_disk": usual("files_on_disk"),
    }


def _verdict(rows: list[dict[str, Any]], rest: Tally, vanished: int) -> bool:
    settled, last = rows[min(SETTLED, len(rows)) - 1], rows[-1]
    answered = sum(row["answered"] for row in rows) + rest.answered.total()
    failed = sum(row["failed"] for row in rows) + rest.failed.total()
    wrong = sum(row["wrong"] for row in rows) + rest.wrong.total()
    print(f"{answered} answered, {failed} failed, {wrong} wrong; {vanished} callers vanished.")
    for fault in rest.faults:
        print(f"  ! {fault}")
    for name in ("rss_mib", "pss_mib", "threads", "open_files", "files_on_disk"):
        grown = 100 * (last[name] - settled[name]) / max(1, settled[name])
        minutes = f"minute {settled['minute']}: {settled[name]}, minute {last['minute']}: {last[name]}"
        print(f"{name}: {minutes}, {grown:+.1f}%")
    return not failed and not wrong
