"""Broken films go through the decoder, or through a running service; what came of each is counted."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx

from predictors import errors
from predictors.decoder import Decoder
from predictors.decoder_limits import MEMORY
from tests.drawings import drawn_film, encoded
from tests.fuzz.mutations import mutant
from tests.fuzz.seeds import FORMATS

SLOWEST = 5.0
"""Seconds that any broken film may take."""

_STATUSES = {
    kind.code: kind.status
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.SecondLookError) and not kind.__subclasses__()
}

CODES = {code for code, status in _STATUSES.items() if status < 500}
"""What the contract lets a film be refused with. A service that is asked by one caller alone is never busy."""

ANSWERED = "answered"
_MODELS = ("bone_fracture", "fracture_detection", "fracture_type", "breast_cancer", "pneumonia")
_GRADIO_EVERY = 8


@dataclass
class Figures:
    """What came of the films of one format."""

    through: str
    file_format: str
    outcomes: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    kills: int = 0
    slowest: float = 0.0
    slowest_number: int = -1
    peak: int = 0  # bytes; 0 where it was not measured

    def count(self, number: int, outcome: str, seconds: float) -> None:
        self.outcomes[outcome] += 1
        if seconds > self.slowest:
            self.slowest, self.slowest_number = seconds, number

    def failures(self) -> list[str]:
        """What is not as promised, in words."""
        failed = [f"{n} x {outcome!r}" for outcome, n in self.outcomes.items() if outcome not in {ANSWERED, *CODES}]
        if self.slowest > SLOWEST:
            failed.append(f"number {self.slowest_number} took {self.slowest:.1f} s")
        if self.peak > MEMORY:
            failed.append(f"a child had {self.peak >> 20} MiB")
        return [f"{self.through}, {self.file_format}: {each}" for each in failed]


def through_the_decoder(seed: int, count: int) -> Iterator[Figures]:
    """Each format's share of ``count`` films, in the service's child processes, on every core."""
    cores = os.cpu_count() or 1
    for file_format, share in _shares(count):
        figures, decoder = Figures("decoder", file_format), Decoder(cores)

        def outcome(number: int, decoder: Decoder = decoder, file_format: str = file_format) -> tuple[str, float]:
            data = mutant(seed, number, file_format)
            began = time.perf_counter()
            try:
                decoder.read(data)
            except errors.SecondLookError as error:
                return error.code, time.perf_counter() - began
            return ANSWERED, time.perf_counter() - began

        decoder.start()
        _count(figures, outcome, range(share), cores)
        decoder.close()
        figures.crashes, figures.kills, figures.peak = decoder.failures["crash"], decoder.failures["time"], decoder.peak
        yield figures


def through_the_service(seed: int, count: int, url: str) -> Iterator[Figures]:
    """The same by REST, and every eighth by Gradio's upload and call; at the end the service must be as it was."""
    callers = 4
    here = threading.local()

    def client() -> httpx.Client:
        if not hasattr(here, "client"):
            here.client = httpx.Client(base_url=url, timeout=60)
        one: httpx.Client = here.client
        return one

    good = encoded(drawn_film(640, 480), "PNG")
    before = _by_rest(client(), "breast_cancer", good, with_answer=True)
    for file_format, share in _shares(count):
        by_rest, by_gradio = Figures("rest", file_format), Figures("gradio", file_format)

        def outcome(number: int, ask: Callable[..., str], file_format: str = file_format) -> tuple[str, float]:
            data = mutant(seed, number, file_format)
            began = time.perf_counter()
            told = ask(client(), _MODELS[number % len(_MODELS)], data)
            return told, time.perf_counter() - began

        gradio = range(0, share, _GRADIO_EVERY)
        rest = [number for number in range(share) if number % _GRADIO_EVERY]
        _count(by_rest, lambda number: outcome(number, _by_rest), rest, callers)
        _count(by_gradio, lambda number: outcome(number, _by_gradio), gradio, callers)
        yield from (by_rest, by_gradio)
    after = Figures("rest", "health afterwards")
    for number, well in enumerate(
        (
            client().get("/health").json()["status"] == "healthy",
            client().get("/ready").is_success,
            _by_rest(client(), "breast_cancer", good, with_answer=True) == before,
        )
    ):
        after.count(number, ANSWERED if well else "not as before", 0.0)
    yield after


def _shares(count: int) -> Iterator[tuple[str, int]]:
    for place, file_format in enumerate(FORMATS):
        yield file_format, count // len(FORMATS) + (place < count % len(FORMATS))


def _count(figures: Figures, outcome: Callable[[int], tuple[str, float]], numbers: Sequence[int], at_once: int) -> None:
    """``outcome`` of every number, ``at_once`` at the same time."""
    with ThreadPoolExecutor(at_once) as threads:
        for number, (told, seconds) in zip(numbers, threads.map(outcome, numbers), strict=True):
            figures.count(number, told, seconds)


def _by_rest(client: httpx.Client, model: str, data: bytes, with_answer: bool = False) -> str:
    response = client.post(f"/api/{model}/predict", files={"file": ("film", data)})
    answer = response.json()
    if response.is_success:
        answer.pop("meta")
        return json.dumps(answer) if with_answer else ANSWERED
    if set(answer) != {"detail", "code"} or response.status_code != _STATUSES.get(answer["code"]):
        return f"{response.status_code}: {response.text[:200]}"
    return str(answer["code"])


def _by_gradio(client: httpx.Client, model: str, data: bytes) -> str:
    path = client.post("/gradio_api/upload", files={"files": ("film", data)}).json()[0]
    film = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = client.post(f"/gradio_api/call/{model}", json={"data": [film]}).json()["event_id"]
    with client.stream("GET", f"/gradio_api/call/{model}/{event}") as stream:
        kind = ""
        for line in stream.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "data" and kind == "complete":
                return ANSWERED
            elif name == "data" and kind == "error":
                return str((json.loads(value) or {}).get("title", value))
    return "the stream ended without an answer"
