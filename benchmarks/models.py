"""What another model costs: a service with one to five of them, each number of models in a process of its own.

How long it takes from the process' start until all of them have answered their warm-up film, what it has in memory once
all have answered films, and what a film takes while it goes round from model to model.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks import charts
from benchmarks.measure import Row, Spread, show, write
from benchmarks.servers import MODELS, ROOT, WEIGHTS, film, memory_mib

ROUNDS = 7
FILMS = 50
"""For each model, in each round."""


class Found(NamedTuple):
    """What was measured of one service."""

    ready: float  # seconds
    mib: float
    films: dict[str, list[float]]  # seconds of each, by model


def run(rounds: int | None = None, films: int = FILMS) -> None:
    """Measure one to five models; ``models.csv`` and three charts."""
    chance = random.Random(0)
    numbers = range(1, len(MODELS) + 1)
    found: dict[int, list[Found]] = {number: [] for number in numbers}
    for _ in tqdm(range(rounds or ROUNDS), mininterval=2):
        for number in chance.sample(numbers, len(numbers)):
            found[number].append(_with(MODELS[:number], films))
    rows = [_row(number, found[number]) for number in numbers]
    write(rows, "models")
    show(rows)
    _draw(rows, found)


def _with(models: Sequence[str], films: int) -> Found:
    """A service whose weights folder holds these ``models`` and the scope guard."""
    with tempfile.TemporaryDirectory() as folder:
        weights, sent = Path(folder) / "weights", Path(folder) / "films"
        weights.mkdir()
        sent.mkdir()
        for name in ("scope", *models):
            (weights / name).symlink_to(WEIGHTS / name)
        for name in models:
            (sent / f"{name}.jpg").write_bytes(film(name))
        command = [sys.executable, "-m", "benchmarks.house", str(weights), str(sent), str(films)]
        began = time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as house:
            try:
                assert house.stdout  # it is a pipe
                house.stdout.readline()
                ready = time.perf_counter() - began
                seconds = json.loads(house.stdout.readline())
                return Found(ready, memory_mib(house.pid), seconds)
            finally:
                house.communicate()  # it ends when nobody is there any more


def _row(number: int, found: Sequence[Found]) -> Row:
    low, median, high = np.percentile([each.ready for each in found], (25, 50, 75))
    row: Row = {
        "models": number,
        "ready_s": round(median, 3),
        "ready_q1_s": round(low, 3),
        "ready_q3_s": round(high, 3),
        "memory_mib": round(float(np.median([each.mib for each in found])), 1),
        "rounds": len(found),
    }
    for name, seconds in _by_model(found).items():
        spread = Spread.of(seconds)
        row |= {f"{name}_ms": round(spread.median, 3), f"{name}_p99_ms": round(spread.p99, 3)}
    return row


def _by_model(found: Sequence[Found]) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = defaultdict(list)
    for each in found:
        for name, taken in each.films.items():
            seconds[name] += taken
    return seconds


def _draw(rows: Sequence[Row], found: dict[int, list[Found]]) -> None:
    count = "models in the service"
    for column, label in (("ready_s", "seconds from start to ready"), ("memory_mib", "memory, MiB")):
        points = [(row["models"], row[column]) for row in rows]
        charts.lines({charts.OURS: points}, count, label, f"models_{column}")
    films: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for number, several in found.items():
        for name, seconds in _by_model(several).items():
            films[name].append((number, Spread.of(seconds).median))
    charts.lines(films, count, "a film, median, milliseconds", "models_film_ms")
