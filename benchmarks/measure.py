"""How everything here is timed: contestants take turns in one run, and a figure is a median with its spread.

Whatever disturbs the machine then disturbs all of them alike; one after the other, it would disturb one of them.
"""

import csv
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from benchmarks.machine import results

Row = dict[str, Any]
Seconds = list[float]


@dataclass(frozen=True)
class Spread:
    """What a contestant took, in milliseconds: the median, the quartiles around it, and the slowest in a hundred."""

    median: float
    lower: float
    upper: float
    p99: float
    count: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Self:
        """The spread of measured ``seconds``."""
        median, lower, upper, p99 = (float(q) * 1000 for q in np.percentile(seconds, (50, 25, 75, 99)))
        return cls(median, lower, upper, p99, len(seconds))

    def row(self) -> Row:
        """As columns of a results file."""
        return {
            "median_ms": round(self.median, 3),
            "q1_ms": round(self.lower, 3),
            "q3_ms": round(self.upper, 3),
            "p99_ms": round(self.p99, 3),
            "rounds": self.count,
        }


BURST = 4
"""Calls in a turn, the first of them untimed: an engine's threads go on spinning for a while after its last call, and
would be timed as a part of whoever comes next."""


def alternating(
    contestants: Mapping[str, Callable[[], object]], rounds: int, warm_up: int = 3, seed: int = 0
) -> dict[str, Seconds]:
    """Seconds of each one's ``rounds`` timed calls: turns of a few calls, in an order that is drawn anew."""
    for contestant in contestants.values():
        for _ in range(warm_up):
            contestant()
    chance = random.Random(seed)
    names = list(contestants)
    seconds: dict[str, Seconds] = {name: [] for name in names}
    for _ in tqdm(range(-(-rounds // (BURST - 1))), desc=" | ".join(names)[:80], mininterval=2):
        chance.shuffle(names)
        for name in names:
            contestants[name]()
            for _ in range(BURST - 1):
                began = time.perf_counter()
                contestants[name]()
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(slower: Sequence[float], faster: Sequence[float]) -> float:
    """How many times the median of ``faster`` the median of ``slower`` is."""
    return float(np.median(slower) / np.median(faster))


def show(rows: Sequence[Row]) -> None:
    """Print ``rows`` as a table."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = [columns, *([str(row.get(column, "")) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def write(rows: Iterable[Row], name: str) -> Path:
    """``<name>.csv`` with ``rows`` among this machine's ``results``; returns its path."""
    rows = list(rows)
    path = results() / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path
