"""What a door costs one caller: every way to ask for one film, against its limit, in one run.

The limit of a door is what the answer takes in process, through the same decoder children as in the Space, plus what a
request of the same kind takes at a server that does nothing with the film. Every round measures both beside the door,
so the limit is a median of sums, and its p99 the p99 of sums. Each caller is connected before it is timed, asks again
and again, and has the film in memory, but for ``gradio_client``, which takes a file.
"""

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import charts
from benchmarks.asking import Ask, by_call, by_form, by_gradio_client, by_node, node_client
from benchmarks.films import jpeg
from benchmarks.measure import Row, Seconds, Spread, alternating, show, write
from benchmarks.servers import ROOT, START_SECONDS, WEIGHTS, running
from predictors.decoder import Decoder
from predictors.registry import Service
from space.desk import AT_ONCE
from tests.running import free_port

MODEL = "bone_fracture"
ROUNDS = 400


@dataclass(frozen=True)
class Door:
    """A way to ask, the like of it that leads to nothing, and the goals: times the limit's median."""

    ask: Ask
    no_op: str
    p50: float
    p99: float | None = None


def run(rounds: int | None = None) -> None:
    """Measure every door; ``doors.csv`` and its chart."""
    with ExitStack() as held, tempfile.TemporaryDirectory() as folder:
        in_process = held.enter_context(_in_process())
        no_ops, doors = _connected(held, Path(folder))
        _check(in_process, no_ops, doors)
        contestants = {"in process": in_process, **no_ops, **{name: door.ask for name, door in doors.items()}}
        seconds = alternating(contestants, rounds or ROUNDS)
    rows = [{"door": name, **Spread.of(seconds[name]).row()} for name in ("in process", *no_ops)]
    rows += [_row(name, door, seconds) for name, door in doors.items()]
    write(rows, "doors")
    show(rows)
    _draw(doors, seconds)


def _connected(held: ExitStack, folder: Path) -> tuple[dict[str, Ask], dict[str, Door]]:
    """The no-ops and the doors by name, their servers and callers running until ``held`` ends."""
    film = folder / "film.jpg"
    film.write_bytes(jpeg())
    space = held.enter_context(running("second_look", MODEL))
    fastapi = held.enter_context(_serving("noop_fastapi"))
    gradio = held.enter_context(_serving("noop_gradio"))
    no_ops = {
        "no-op form": by_form(fastapi, "/predict", "file"),
        "no-op call": by_call(gradio, "predict"),
        "no-op gradio_client": by_gradio_client(gradio, "/predict", film),
    }
    doors = {
        "REST": Door(by_form(space.url, space.predict, "file"), "no-op form", 1.5, 3),
        "/run/predict": Door(by_form(space.url, "/run/predict", "data"), "no-op form", 1.5, 3),
        "/gradio_api/call": Door(by_call(space.url, MODEL), "no-op call", 1.5, 3),
        "gradio_client": Door(by_gradio_client(space.url, f"/{MODEL}", film), "no-op gradio_client", 1.2),
    }
    if script := node_client(folder):
        no_ops["no-op @gradio/client"] = held.enter_context(by_node(script, gradio, "/predict", film))
        ours = held.enter_context(by_node(script, space.url, f"/{MODEL}", film))
        doors["@gradio/client"] = Door(ours, "no-op @gradio/client", 1.2)
    return no_ops, doors


def _row(name: str, door: Door, seconds: dict[str, Seconds]) -> Row:
    limit = _limit(door, seconds)
    taken = Spread.of(seconds[name])
    return {
        "door": name,
        **taken.row(),
        "limit_ms": round(limit.median, 3),
        "limit_p99_ms": round(limit.p99, 3),
        "p50_over_limit": round(taken.median / limit.median, 3),
        "goal": door.p50,
        "p99_over_limit": round(taken.p99 / limit.median, 3),
        "goal_p99": door.p99 or "",
        "p99_over_limit_p99": round(taken.p99 / limit.p99, 3),
    }


def _limit(door: Door, seconds: dict[str, Seconds]) -> Spread:
    both = zip(seconds["in process"], seconds[door.no_op], strict=True)
    return Spread.of([sum(each) for each in both])


def _draw(doors: dict[str, Door], seconds: dict[str, Seconds]) -> None:
    spreads = {f"{charts.OURS}: {name}": Spread.of(seconds[name]) for name in doors}
    limits = {name: _limit(door, seconds) for name, door in doors.items()}
    spreads |= {f"in process + no-op: {name}": limit for name, limit in limits.items()}
    charts.bars(spreads, "One film through each door", "doors")


def _check(in_process: Ask, no_ops: dict[str, Ask], doors: dict[str, Door]) -> None:
    """Every door says what the network says, and every no-op has received the whole film."""
    expected = _finding(in_process())
    for name, door in doors.items():
        answer = door.ask()
        found = _finding(answer["data"][0] if name == "/run/predict" else answer)
        if found != expected:
            raise RuntimeError(f"{name} answered {found}, the network {expected}")
    for name, ask in no_ops.items():
        if ask() != {"bytes": len(jpeg())}:
            raise RuntimeError(f"{name} did not receive the film")


def _finding(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "meta"}


# The contestants' processes


@contextmanager
def _in_process() -> Iterator[Ask]:
    decoder = Decoder(AT_ONCE)
    decoder.start()
    predictor = Service.open(WEIGHTS, reader=decoder.read)[MODEL]
    try:
        yield lambda: predictor.predict(jpeg(), "film.jpg")
    finally:
        decoder.close()


@contextmanager
def _serving(module: str) -> Iterator[str]:
    """The address of ``benchmarks.peers.<module>``, in a process of its own, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
