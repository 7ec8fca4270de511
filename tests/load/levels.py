"""So many callers at once, for a while: a row for each door, and one for all together."""

import asyncio
import time
from statistics import median, quantiles
from typing import Any

from tests.load.callers import Caller, Tally
from tests.load.known import Known
from tests.load.watch import Taken, taken
from tests.running import Space

LOOK_EVERY = 2.0
"""Seconds between two looks at what the app takes."""


async def level(space: Space, known: Known, callers: int, seconds: float) -> tuple[list[dict[str, Any]], bool]:
    """Its rows, printed too, and whether all went well."""
    everyone = [Caller(space.url, number, known.questions(number)) for number in range(callers)]
    tally, began = Tally(), time.monotonic()
    end = began + seconds
    asking = asyncio.gather(*(caller.ask_until(end, tally) for caller in everyone))
    looks: list[Taken] = []
    while not asking.done():
        if space.pid:
            looks.append(await asyncio.to_thread(taken, space.pid))
        await asyncio.wait([asking], timeout=LOOK_EVERY)
    await asking
    lasted = time.monotonic() - began
    for caller in everyone:
        await caller.close()
    rows = [_row(tally, door, callers, lasted) for door in ("all", *sorted(tally.seconds))]
    rows[0] |= {
        "refusals_foretold": tally.refusals,
        "films_per_second": round(tally.films / lasted, 2),
        "slowest_callers_share": round(share_of_slowest(tally, callers), 2),
        "rss_mib": round(max((look.rss for look in looks), default=0)),
        "pss_mib": round(max((look.pss for look in looks), default=0)),
    }
    _print(rows, tally)
    return rows, not tally.wrong and not tally.failed


def share_of_slowest(tally: Tally, callers: int) -> float:
    """Answers of the caller who got fewest, of what each got on average: 1 is perfectly fair, 0 starved."""
    counts = [tally.by_caller[number] for number in range(callers)]
    return min(counts) * callers / max(1, sum(counts))


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """Median, 99th percentile and largest, and how far the second is from the first."""
    if not seconds:
        return dict.fromkeys(("p50_ms", "p99_ms", "max_ms", "p99_over_p50"), 0.0)
    p50 = median(seconds)
    p99 = quantiles(seconds, n=100, method="inclusive")[98] if len(seconds) > 1 else p50
    rounded = {"p50_ms": p50 * 1000, "p99_ms": p99 * 1000, "max_ms": max(seconds) * 1000, "p99_over_p50": p99 / p50}
    return {name: round(value, 2) for name, value in rounded.items()}


def _row(tally: Tally, door: str, callers: int, lasted: float) -> dict[str, Any]:
    def of(counts: Any) -> int:
        return int(counts.total() if door == "all" else counts[door])

    all_doors = [each for times in tally.seconds.values() for each in times]
    return {
        "callers": callers,
        "door": door,
        "seconds": round(lasted, 1),
        "answered": of(tally.answered),
        "refusals_foretold": "",
        "busy": of(tally.busy),
        "failed": of(tally.failed),
        "wrong": of(tally.wrong),
        "films_per_second": "",
        **milliseconds(all_doors if door == "all" else tally.seconds[door]),
        "slowest_callers_share": "",
        "rss_mib": "",
        "pss_mib": "",
    }


def _print(rows: list[dict[str, Any]], tally: Tally) -> None:
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items() if value != ""), flush=True)
    for fault in tally.faults:
        print(f"  ! {fault}", flush=True)
