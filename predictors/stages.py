"""Where a film's time goes: a stopwatch for whoever wants to know, and next to nothing when nobody does."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

READ = "read"
SCOPE = "scope"
PREPROCESS = "preprocess"
INFER = "infer"
CALIBRATE = "calibrate"
HEATMAP = "heatmap"
SECOND_READER = "second_reader"
ENCODE = "encode"
OTHER = "other"

STAGES = (READ, SCOPE, PREPROCESS, INFER, CALIBRATE, HEATMAP, SECOND_READER, ENCODE, OTHER)
"""In the order in which a film goes through them; the last is what lies between the others."""


class Stopwatch:
    """Seconds by stage. It is always in exactly one of them, so that they add up to the whole."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.size = 0  # of the film, in bytes; 0 if it was not read
        self.pixels = 0
        self._stage = OTHER
        self._since = time.perf_counter()

    def enter(self, stage: str) -> str:
        """Charge the time so far to the stage that it was spent in, and go on to ``stage``; returns the former."""
        now = time.perf_counter()
        former, self._stage = self._stage, stage
        self.seconds[former] = self.seconds.get(former, 0.0) + now - self._since
        self._since = now
        return former

    def stop(self) -> float:
        """Seconds in all, until now."""
        self.enter(OTHER)
        return sum(self.seconds.values())


_watch: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


@contextmanager
def watched() -> Iterator[Stopwatch]:
    """A stopwatch for what is done inside, in this thread or those that are given its context."""
    watch = Stopwatch()
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)


class stage:  # noqa: N801  # reads as the statement that it is: ``with stage(READ):``
    """What is done inside is charged to the stage ``name``, less what is done in a stage inside of it."""

    __slots__ = ("_former", "_name", "_watch")

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        self._watch = _watch.get()
        if self._watch:
            self._former = self._watch.enter(self._name)

    def __exit__(self, *_: object) -> None:
        if self._watch:
            self._watch.enter(self._former)


def note(size: int = 0, pixels: int = 0) -> None:
    """Tell whoever watches how large the film is."""
    if watch := _watch.get():
        watch.size, watch.pixels = size or watch.size, pixels or watch.pixels
