"""How long a sleeper takes to answer: from the start of the process to its first right answer, and to all five models'.

A Space that sleeps is started by the caller who waits for it. Here that caller asks from the moment of the start, and
20 ms after every refusal again, first for one network and, once that has answered rightly, for the next. Contestants
are started one after the other in an order that is drawn anew every round, with what they read in the page cache
(warm: each was started once before) and with it put out before every start (cold). ``/health`` and ``/ready`` are
ours alone. The seeds' way has its five networks in one process; the other peers serve one network each.
"""

import http.client
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any

from benchmarks.known import Known
from benchmarks.measure import Row, Seconds, Spread, ratio, show, write
from benchmarks.page_cache import forget
from benchmarks.servers import CONTESTANTS, START_SECONDS, Server, film, has_ended, path_of, started
from benchmarks.wire import Body, Refused, Wire

ROUNDS = {"warm": 10, "cold": 5}
WAKERS = ("second_look", "seeds", "flask_keras", "onnxruntime")
"""Who is started, unless others are named: us, what we replace, and the slowest and the fastest kind of peer."""

AGAIN = 0.02
SIDE = 1024

HEALTH, READY, FIRST, ALL = "/health", "/ready", "first answer", "all five answered"
WATCHED = {"second_look": (HEALTH, READY)}
"""What tells how far a contestant's start has come, beside its answers."""

Started = dict[tuple[str, str, str], Seconds]
"""By cache, contestant and milestone."""


def run(rounds: int | None = None, contestants: tuple[str, ...] = WAKERS) -> None:
    """Start every contestant again and again; ``wake.csv`` and a chart for each milestone that all reach."""
    known = Known((SIDE,))
    for name in contestants:  # once unmeasured: what is read comes into the cache, and what is exported is exported
        _woken(name, known)
    seconds: Started = defaultdict(list)
    stayed: Seconds = []
    for cache, usual in ROUNDS.items():
        for number in range(rounds or usual):
            for name in random.Random(number).sample(contestants, len(contestants)):
                if cache == "cold":
                    stayed.append(forget())
                for milestone, taken in _woken(name, known).items():
                    seconds[cache, name, milestone].append(taken)
                    print(f"{cache}  {name}  {milestone}  {taken:.2f} s", flush=True)
    _told(seconds, stayed)


def _woken(name: str, known: Known) -> dict[str, float]:
    """Seconds from the start of a contestant's process to each of its milestones."""
    contestant = CONTESTANTS[name]
    models = contestant.models if contestant.serves_all else contestant.models[:1]
    bodies = {model: Body.form("file", film(model, SIDE)) for model in models}
    began = time.perf_counter()
    with started(name) as server, ThreadPoolExecutor() as beside:
        watched = {
            path: beside.submit(_until, server, began, partial(Wire.text, path=path)) for path in WATCHED.get(name, ())
        }
        answered = []
        for model in models:
            ask = partial(Wire.post, path=path_of(server, model), body=bodies[model])
            answer, at = _until(server, began, ask)
            known.demand(name, model, SIDE, answer)
            answered.append(at)
        milestones = {path: future.result()[1] for path, future in watched.items()}
    milestones[FIRST] = answered[0]
    if contestant.serves_all:
        milestones[ALL] = answered[-1]
    return milestones


def _until(server: Server, began: float, ask: Callable[[Wire], Any]) -> tuple[Any, float]:
    """Ask until there is an answer: it, and when it was there."""
    web, end = Wire(server.url), time.monotonic() + START_SECONDS
    while time.monotonic() < end and not has_ended(server):
        try:
            return ask(web), time.perf_counter() - began
        except (OSError, http.client.HTTPException, Refused):
            time.sleep(AGAIN)
    raise RuntimeError(f"{server.name} did not answer:\n{server.log.read_text()[-4000:]}")


def _told(seconds: Started, stayed: Seconds) -> None:
    rows: list[Row] = [
        {"cache": cache, "contestant": name, "milestone": milestone, **Spread.of(several).row()}
        for (cache, name, milestone), several in seconds.items()
    ]
    show(rows)
    write(rows, "wake")
    for cache in ROUNDS:
        for milestone in (FIRST, ALL):
            if (cache, "seeds", milestone) in seconds and (cache, "second_look", milestone) in seconds:
                times = ratio(seconds[cache, "seeds", milestone], seconds[cache, "second_look", milestone])
                print(f"{cache}, {milestone}: {times:.2f} x as soon as the seeds' way")
    if stayed:
        print(f"cold: {median(stayed):.0f} MiB of what they read stayed in the page cache, at most {max(stayed):.0f}")
    if "openvino" in sys.modules:
        print("cold: this process has our runtime mapped, which kept it warm; measure wake by itself")
    from benchmarks.charts import bars

    for cache in ROUNDS:
        for milestone, name in ((FIRST, "first"), (ALL, "all")):
            spreads = {
                who: Spread.of(s) for (which, who, what), s in seconds.items() if (which, what) == (cache, milestone)
            }
            bars(spreads, f"Process start to {milestone}, {cache} page cache", f"wake_{name}_{cache}")
