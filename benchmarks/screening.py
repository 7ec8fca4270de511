"""A folder of films to a table: ``predictors.screen`` against the bare engine, decoding included in both.

The bare engine: as many threads as there are cores, each decodes a film with Pillow, resizes it and runs the network
once, in inference requests of its own, and writes nothing. The films are 1,000 drawn ones of 480 x 640 as JPEG, each
of its own noise.
"""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openvino
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
    """Write ``screening.csv``: films a second, the two in turn."""
    with _folder(FILMS) as films:
        rows: list[Row] = []
        for turn in range(rounds or 3):
            rows.append({"turn": turn, "contestant": "second_look", "films_a_second": _screened(films)})
            for hint in ("LATENCY", "THROUGHPUT"):
                rows.append({"turn": turn, "contestant": f"bare engine, {hint}", "films_a_second": _bare(films, hint)})
    show(rows)
    write(rows, "screening")


def _screened(films: Path) -> float:
    out = films.parent / "answers.csv"
    out.unlink(missing_ok=True)
    began = time.perf_counter()
    outcomes = screen(MODEL, str(films), out)
    assert outcomes == {"answered": FILMS}, outcomes
    return round(FILMS / (time.perf_counter() - began), 2)


def _bare(films: Path, hint: str) -> float:
    began = time.perf_counter()  # loading included, as for the other
    spec = ModelSpec.read(WEIGHTS / MODEL)
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

    with ThreadPoolExecutor(CORES) as pool:
        answers = list(pool.map(answer, sorted(films.iterdir())))
    return round(len(answers) / (time.perf_counter() - began), 2)


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
