"""So many callers at once, each asking again as soon as it has been answered."""

import http.client
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.wire import BUSY, Refused

FAULTS = (Refused, OSError, http.client.HTTPException, ValueError)
"""What goes wrong with a request; an answer that is not the expected one is a ValueError."""

Ask = Callable[[], object]


@dataclass
class Heard:
    """What one caller was told."""

    seconds: list[float] = field(default_factory=list)  # of every answer
    since_first: list[float] = field(default_factory=list)  # the same, refusals before it and their pauses included
    busy: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Crowd:
    """What all callers of one measurement were told, and how long that took."""

    heard: list[Heard]
    lasted: float  # seconds, to the last answer
    client_cores: float  # that this process, the callers, kept busy

    @property
    def answered(self) -> int:
        """How many films."""
        return sum(len(each.seconds) for each in self.heard)

    @property
    def films_per_second(self) -> float:
        """Answered, by all callers together."""
        return self.answered / self.lasted

    @property
    def share_of_slowest(self) -> float:
        """Answers of the caller who got fewest, of what each got on average: 1 is perfectly fair, 0 starved."""
        return min(len(each.seconds) for each in self.heard) * len(self.heard) / max(1, self.answered)


def crowd(connect: Callable[[int], Ask], callers: int, seconds: float) -> Crowd:
    """``callers`` ask for so many ``seconds``, and wait for what they have asked by then.

    Each has a thread, and what ``connect`` gives for its number to ask with; it has asked once before time is taken.
    """
    asks = [connect(number) for number in range(callers)]
    for ask in asks:
        ask()
    heard, start = [Heard() for _ in asks], threading.Barrier(callers + 1)
    with ThreadPoolExecutor(callers) as threads:
        chances = [random.Random(number) for number in range(callers)]
        asking = [threads.submit(_asks, *each, start, seconds) for each in zip(asks, heard, chances, strict=True)]
        start.wait()
        began, worked = time.monotonic(), time.process_time()
        for each in asking:
            each.result()
        lasted = time.monotonic() - began
    return Crowd(heard, lasted, (time.process_time() - worked) / lasted)


def _asks(ask: Ask, heard: Heard, chance: random.Random, start: threading.Barrier, seconds: float) -> None:
    start.wait()
    first = time.monotonic()
    end = first + seconds
    while (began := time.monotonic()) < end:
        try:
            ask()
        except FAULTS as fault:
            if isinstance(fault, Refused) and fault.status == BUSY:
                heard.busy += 1
                # With some jitter, so that all who were refused do not come back together.
                pause = fault.retry_after * chance.uniform(1, 1.5)
                time.sleep(max(0.0, min(pause, end - time.monotonic())))
                continue
            heard.failed.append(f"{type(fault).__name__} {fault}")
        else:
            now = time.monotonic()
            heard.seconds.append(now - began)
            heard.since_first.append(now - first)
        first = time.monotonic()
