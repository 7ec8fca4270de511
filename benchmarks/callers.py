"""How answers come when many ask at once: 1 to 64 callers, at our server, at every peer, and the bare engine beside it.

One server runs at a time, since one that idles is not always idle: each is started, asked by every number of callers in
an order that is drawn, and ended, and then comes the next. That is one round; in every other one they come in the
opposite order. The callers are threads of this process, each with a connection and an address of its own, who send
bytes made once; what they take of the machine is in the results. A server that is full and says so (503) is asked
again after the time that it names.
"""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from math import nan
from typing import Any

from benchmarks import charts
from benchmarks.ceiling import BARE, CORES, ENGINES, FORWARD, ceilings
from benchmarks.crowd import Ask, Crowd, crowd
from benchmarks.measure import Row, Spread, show, write
from benchmarks.servers import CONTESTANTS, Server, film, running
from benchmarks.wire import Body, Wire
from tests.load.callers import address

CALLERS = (1, 4, 16, 64)
SECONDS = 4.0
ROUNDS = 2
TOLERANCE = 1e-3

Measured = dict[tuple[str, str, int], list[Crowd]]
"""By network, contestant and number of callers, a crowd a round."""


def run(rounds: int | None = None, callers: Sequence[int] = CALLERS, seconds: float = SECONDS) -> None:
    """Measure every number of callers at every contestant; ``callers.csv`` and two charts a network."""
    # That our callers are clients of their own, between whom it is fair: it believes their X-Forwarded-For.
    os.environ["SECOND_LOOK_TRUSTED_PROXIES"] = "127.0.0.1"
    measured: Measured = defaultdict(list)
    for number in range(rounds or ROUNDS):
        forth, chance = slice(None, None, -1 if number % 2 else 1), random.Random(number)
        for model, names in _contests()[forth]:
            _engines(model, seconds, measured)
            for name in names[forth]:
                with running(name, model) as server:
                    connect = _connects(server, film(model))
                    for several in chance.sample(callers, len(callers)):
                        crowds = measured[model, name, several]
                        crowds.append(crowd(connect, several, seconds))
                        _print(_row(measured, model, name, several), crowds)
    rows = [_row(measured, *key) for key in sorted(measured)]
    show(rows)
    write(rows, "callers")
    for model, _ in _contests():
        _draw(rows, model)


def _contests() -> list[tuple[str, list[str]]]:
    """Every network of which some peer serves nothing else, and who serves it: ours first."""
    peers = {name: peer.models[0] for name, peer in CONTESTANTS.items() if name != charts.OURS and not peer.serves_all}
    served = dict.fromkeys(peers.values())
    return [(model, [charts.OURS, *(name for name in peers if peers[name] == model)]) for model in served]


def _engines(model: str, seconds: float, measured: Measured) -> None:
    with ceilings(model, film(model)) as contestants:
        for name, work in contestants.items():
            measured[model, name, CORES].append(crowd(work, CORES, seconds))
        for name in contestants:
            _print(_row(measured, model, name, CORES), measured[model, name, CORES])


def _connects(server: Server, sent: bytes) -> Callable[[int], Ask]:
    """Gives every caller a connection and an address of its own; each answer must say what the first one said."""
    form = Body.form("file", sent)
    expected = _finding(Wire(server.url).post(server.predict, form))

    def connect(number: int) -> Ask:
        wire = Wire(server.url, {"X-Forwarded-For": address(number)})

        def ask() -> None:
            found = _finding(wire.post(server.predict, form))
            if not _agree(found, expected):
                raise ValueError(f"was told {found} instead of {expected}")

        return ask

    return connect


def _finding(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what differs from time to time."""
    return {key: value for key, value in answer.items() if key != "meta"}


def _agree(found: Any, expected: Any) -> bool:
    """Whether two answers are the same but for a network's last digits, which its threads may leave open."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_agree(found[key], expected[key]) for key in found)
    if isinstance(found, float) and isinstance(expected, float):
        return abs(found - expected) < TOLERANCE
    return bool(found == expected)


# The figures


def _row(measured: Measured, model: str, name: str, callers: int) -> Row:
    crowds = measured[model, name, callers]
    everyone = [heard for each in crowds for heard in each.heard]
    taken = Spread.of([second for heard in everyone for second in heard.seconds] or [nan])
    felt = Spread.of([second for heard in everyone for second in heard.since_first] or [nan])
    rate, rates = _rate(crowds), [each.films_per_second for each in crowds]
    bare, forward = (_rate(measured[model, engine, CORES]) for engine in (BARE, FORWARD))
    return {
        "network": model,
        "contestant": name,
        "callers": callers,
        "films_per_second": round(rate, 2),
        "slowest_round": round(min(rates), 2),
        "fastest_round": round(max(rates), 2),
        "of_bare_engine": round(rate / bare, 3),
        "of_forward": round(rate / forward, 3),
        **taken.row(),
        "rounds": len(crowds),
        "answers": taken.count,
        "p99_over_p50": round(taken.p99 / taken.median, 2),
        "p99_with_refusals_ms": round(felt.p99, 3),
        "slowest_callers_share": round(min(each.share_of_slowest for each in crowds), 2),
        "busy": sum(heard.busy for heard in everyone),
        "failed": sum(len(heard.failed) for heard in everyone),
        "client_cores": round(max(each.client_cores for each in crowds), 2),
    }


def _rate(crowds: Sequence[Crowd]) -> float:
    """Films a second over all rounds."""
    return sum(each.answered for each in crowds) / sum(each.lasted for each in crowds)


def _print(row: Row, crowds: Sequence[Crowd]) -> None:
    print("  ".join(f"{column} {value}" for column, value in row.items()), flush=True)
    faults = [fault for heard in crowds[-1].heard for fault in heard.failed]
    for fault in faults[:3]:
        print(f"  ! {fault}", flush=True)


def _draw(rows: Sequence[Row], model: str) -> None:
    """Films a second, with the engines as levels, and p99."""
    rates: dict[str, list[tuple[float, float]]] = defaultdict(list)
    slowest: dict[str, list[tuple[float, float]]] = defaultdict(list)
    most = max(row["callers"] for row in rows)
    for row in rows:
        if row["network"] == model and row["contestant"] in ENGINES:
            rates[row["contestant"]] = [(1, row["films_per_second"]), (most, row["films_per_second"])]
        elif row["network"] == model:
            rates[row["contestant"]].append((row["callers"], row["films_per_second"]))
            slowest[row["contestant"]].append((row["callers"], row["p99_ms"]))
    who = f"callers at once ({model})"
    charts.lines(rates, who, "films a second", f"callers_{model}", log_x=True)
    charts.lines(slowest, who, "p99, milliseconds", f"callers_{model}_p99", log_x=True, log_y=True)
