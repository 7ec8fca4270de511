"""A folder of films to a table: ``predictors.screen`` against the bare engine, decoding included in both.

The bare engine: one thread a core, or two, each decodes a film with Pillow, resizes it and runs the network once, in
inference requests of its own, and writes nothing. The films are 1,000 drawn ones of 480 x 640 as JPEG, each of its own
noise. Since hosts slow down and wake up, the processor's time a film and the idle share are told beside films a second.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import openvino
import psutil
from PIL import Image

from benchmarks.measure import Row, show, write
from predictors.runtime import Twin
from predictors.screen import WEIGHTS, screen
from predictors.spec import ModelSpec
from space.deploy.films import limb
from tests.drawings import encoded

MODEL = "bone_fracture"
FILMS = 1000
CORES = 2


def run(rounds: int | None = None) -> None:
    """Write ``screening.csv``: films a second, all in turn."""
    with _folder(FILMS) as films:
        contestants: dict[str, Callable[[], None]] = {"second_look": partial(_screened, films)}
        for hint, threads in product(("LATENCY", "THROUGHPUT"), (CORES, 2 * CORES)):
            contestants[f"bare engine, {hint}, {threads} threads"] = partial(_bare, films, hint, threads)
        rows: list[Row] = [
            {"turn": turn, "contestant": name, **_timed(contestant)}
            for turn in range(rounds or 3)
            for name, contestant in contestants.items()
        ]
    show(rows)
    write(rows, "screening")


def _timed(contestant: Callable[[], None]) -> Row:
    """Films a second, milliseconds of processor time a film, and how much of the processors' time nobody used."""
    machine, used, began = psutil.cpu_times(), time.process_time(), time.perf_counter()
    contestant()
    seconds, used = time.perf_counter() - began, time.process_time() - used
    idle = psutil.cpu_times().idle - machine.idle
    return {
        "films_a_second": round(FILMS / seconds, 2),
        "processor_ms_a_film": round(1000 * used / FILMS, 1),
        "idle": round(idle / (seconds * (psutil.cpu_count() or 1)), 3),
    }


def _screened(films: Path) -> None:
    out = films.parent / "answers.csv"
    out.unlink(missing_ok=True)
    outcomes = screen(MODEL, str(films), out)
    assert outcomes == {"answered": FILMS}, outcomes


def _bare(films: Path, hint: str, threads: int) -> None:
    spec = ModelSpec.read(WEIGHTS / MODEL)  # loading is timed, as for the other
    size = spec.input.size
    model = Twin.read(WEIGHTS / MODEL / "twin.xml").model()
    model.reshape([1, size, size, 3])
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": hint}
    compiled = openvino.Core().compile_model(model, "CPU", config)

    def answer(path: Path) -> float:
        with Image.open(path) as image:
            small = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float32)
        batch = np.repeat(small[None, ..., None], 3, axis=-1)
        return float(compiled.create_infer_request().infer([batch])["logits"][0, 0])

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(answer, sorted(films.iterdir())):
            pass


@contextmanager
def _folder(count: int) -> Iterator[Path]:
    """``count`` films on the disk, none like the other."""
    film, chance = limb().astype(np.int16), np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        films = Path(place) / "films"
        films.mkdir()
        for number in range(count):
            noisy = np.clip(film + chance.integers(-3, 4, film.shape, np.int16), 0, 255).astype(np.uint8)
            (films / f"{number:04}.jpg").write_bytes(encoded(noisy, "JPEG", quality=90))
        yield films
