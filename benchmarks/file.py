"""A film's bytes become its answer, in process; against the least that could be done with them.

The least: Pillow decodes to grey, Pillow resizes with the same filter, OpenVINO runs the network. We also decode in a
process that may crash, ask the scope guard, measure the window, pad, calibrate and make the answer's JSON. How much of
our time each of these takes stands in ``stages.csv``.
"""

import io
import json
from collections import defaultdict
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from benchmarks.charts import bars, lines
from benchmarks.films import deep_png, jpeg, jpeg2000_dicom
from benchmarks.measure import Row, Seconds, Spread, alternating, ratio, show, write
from benchmarks.servers import WEIGHTS
from predictors.decoder import Decoder
from predictors.dicom import decode_dicom
from predictors.header import MAX_PIXELS
from predictors.predictor import Predictor
from predictors.registry import Service
from predictors.stages import STAGES, watched

MODEL = "bone_fracture"
OURS = "second_look"
SIDES = (256, 512, 1024, 1536, 2048, 3072, 4096)


def run(rounds: int | None = None) -> None:
    """Write ``file.csv``, ``stages.csv`` and ``sizes.csv``, with their charts."""
    decoder = Decoder(1)
    decoder.start()
    try:
        isolated = Service.open(WEIGHTS, reader=decoder.read)[MODEL]
        direct = Service.open(WEIGHTS)[MODEL]
        films(isolated, direct, rounds or 200)
        stages(isolated, rounds or 200)
        sizes(isolated, direct, rounds or 60)
    finally:
        decoder.close()


def films(isolated: Predictor, direct: Predictor, rounds: int) -> None:
    """The films that the Space is sent, each against its bare decoder and against the least."""
    decoders: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
        "JPEG 1024x1024": (jpeg(), _decoded),
        "JPEG 3000x3000": (jpeg(3000), _decoded),
        "PNG 3000x2500, 16 bits": (deep_png(), _decoded),
        "DICOM 2500x2000, JPEG 2000": (jpeg2000_dicom(), lambda data: decode_dicom(data, MAX_PIXELS)),
    }
    rows: list[Row] = []
    for name, (data, decode) in decoders.items():
        bare = _bare(direct, decode)
        seconds = alternating(
            {
                OURS: partial(_answer, isolated, data),
                "in this process": partial(_answer, direct, data),
                "least": partial(bare, data),
                "decoder alone": partial(decode, data),
            },
            rounds if len(data) < 1 << 20 else max(5, rounds // 5),
        )
        rows += _rows({"film": name}, seconds, "least", "decoder alone")
        bars({key: Spread.of(each) for key, each in seconds.items()}, name, f"file_{_slug(name)}")
    show(rows)
    write(rows, "file")


def stages(predictor: Predictor, rounds: int) -> None:
    """Where the time of the 1024x1024 JPEG goes, median milliseconds a stage."""
    spent: dict[str, Seconds] = defaultdict(list)
    for _ in range(rounds):
        with watched() as watch:
            _answer(predictor, jpeg())
        watch.stop()
        for stage in STAGES:
            spent[stage].append(watch.seconds.get(stage, 0.0))
    rows = [{"stage": stage, **Spread.of(each).row()} for stage, each in spent.items() if any(each)]
    show(rows)
    write(rows, "stages")


def sizes(isolated: Predictor, direct: Predictor, rounds: int) -> None:
    """How the cost grows with the film's side, JPEG."""
    bare = _bare(direct, _decoded)
    rows: list[Row] = []
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for side in SIDES:
        data = jpeg(side)
        seconds = alternating(
            {
                OURS: partial(_answer, isolated, data),
                "least": partial(bare, data),
                "decoder alone": partial(_decoded, data),
            },
            rounds,
        )
        rows += _rows({"side": side}, seconds, "least", "decoder alone")
        for name, each in seconds.items():
            series[name].append((side, Spread.of(each).median))
    show(rows)
    write(rows, "sizes")
    lines(series, "side of the film, pixels", "milliseconds, median", "sizes", log_x=True, log_y=True)


def _rows(about: Row, seconds: dict[str, Seconds], *limits: str) -> list[Row]:
    return [
        {
            **about,
            "contestant": name,
            **Spread.of(each).row(),
            **{f"of_{limit.replace(' ', '_')}": round(ratio(each, seconds[limit]), 3) for limit in limits},
        }
        for name, each in seconds.items()
    ]


def _answer(predictor: Predictor, data: bytes) -> str:
    """What the Space does for a caller, but for the HTTP."""
    return json.dumps(predictor.predict(data))


def _decoded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def _bare(predictor: Predictor, decode: Callable[[bytes], object]) -> Callable[[bytes], object]:
    """Bare decode, bare resize, bare forward, one after the other."""
    network, size = predictor.load(), predictor.spec.input.size

    def least(data: bytes) -> object:
        decoded = decode(data)
        picture = decoded if isinstance(decoded, Image.Image) else Image.fromarray(np.asarray(decoded))
        small = picture.resize((size, size), Image.Resampling.BILINEAR)
        plane = np.asarray(small, np.float32)
        return network(np.repeat(plane[None, ..., None], 3, axis=-1))

    return least


def _slug(name: str) -> str:
    return name.split(",")[0].replace(" ", "_").lower()
