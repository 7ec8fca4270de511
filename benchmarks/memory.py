"""What a service keeps in memory: after all five models have answered a film, and while it answers 10,000.

Memory is that of the whole process tree, the sum of proportional set sizes (pages that processes share count once),
read a moment after the last answer. The resident set sizes, which count shared pages for each process, stand beside.
"""

import random
import time
from collections import defaultdict
from statistics import median

import numpy as np
from tqdm import tqdm

from benchmarks.charts import lines
from benchmarks.known import Known
from benchmarks.measure import Row, show, write
from benchmarks.servers import MODELS, PATIENCE, Server, film, path_of, running
from benchmarks.wire import Body, Refused, Wire
from tests.load.watch import Taken, taken

CONTESTANTS = ("second_look", "seeds")
STARTS = 3

LOOKS, BETWEEN = 10, 1000
"""How often memory is read while one caller asks, and after how many requests each."""

SIDES = (384, 512, 768, 1024, 1280, 1536, 2048)
AT_FIRST = 1024
SETTLING = 2.0


def run(rounds: int | None = None, between: int = BETWEEN) -> None:
    """Both measurements; ``memory.csv`` and ``memory_growth.csv`` with its chart.

    ``rounds`` is how often memory is read during the requests, so that it says after how many they end.
    """
    known = Known(SIDES)
    _after_five(known)
    _growth(known, rounds or LOOKS, between)


def _after_five(known: Known) -> None:
    """Ours and the seeds' way in turns, each started anew."""
    looks: dict[str, list[Taken]] = defaultdict(list)
    for _ in range(STARTS):
        for name in CONTESTANTS:
            with running(name) as server:
                web = Wire(server.url)
                for model in MODELS:
                    _ask(server, web, known, model, AT_FIRST)
                looks[name].append(_settled(server))
    rows: list[Row] = []
    for name, several in looks.items():
        lower, middle, upper = np.percentile([look.pss for look in several], (25, 50, 75))
        rows.append(
            {
                "contestant": name,
                "pss_mib": round(middle, 1),
                "q1_mib": round(lower, 1),
                "q3_mib": round(upper, 1),
                "rss_mib": round(median(look.rss for look in several), 1),
                "processes": several[-1].processes,
                "starts": len(several),
            }
        )
    show(rows)
    write(rows, "memory")
    ours, seeds = (median(look.pss for look in looks[name]) for name in CONTESTANTS)
    print(f"ours is {ours / seeds:.2f} of the seeds' way")


def _growth(known: Known, looks: int, between: int) -> None:
    """One caller asks our models about their films by turns that are drawn; memory is read every so many requests."""
    chance, rows = random.Random(0), []
    with running("second_look") as server:
        web = Wire(server.url)
        for model in MODELS:
            _ask(server, web, known, model, AT_FIRST)
        points = [(0, _settled(server))]
        for number in tqdm(range(1, looks * between + 1), desc="requests", mininterval=5):
            _ask(server, web, known, chance.choice(MODELS), chance.choice(SIDES))
            if number % between == 0:
                points.append((number, _settled(server)))
    for number, look in points:
        rows.append({"requests": number, "pss_mib": round(look.pss, 1), "rss_mib": round(look.rss, 1)})
    show(rows)
    write(rows, "memory_growth")
    first, last = points[1], points[-1]
    grown = 100 * (last[1].pss / first[1].pss - 1)
    print(f"from request {first[0]} to {last[0]}: {grown:+.2f}%")
    series = {"second_look": [(number, look.pss) for number, look in points]}
    lines(series, "requests answered", "MiB, proportional set size of all its processes", "memory_growth")


def _ask(server: Server, web: Wire, known: Known, model: str, side: int) -> None:
    """Ask until there is a place and the network is loaded; the answer has to be the right one."""
    body, end = Body.form("file", film(model, side)), time.monotonic() + PATIENCE
    while True:
        try:
            answer = web.post(path_of(server, model), body)
        except Refused:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return known.demand(server.name, model, side, answer)


def _settled(server: Server) -> Taken:
    time.sleep(SETTLING)
    return taken(server.pid)
