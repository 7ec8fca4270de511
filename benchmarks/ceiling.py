"""What the machine gives when nobody asks over a network: the bare engine on every core, a film a core at a time."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import openvino
from PIL import Image

from benchmarks.servers import WEIGHTS
from predictors.decoder import Decoder
from predictors.registry import Service
from predictors.spec import ModelSpec

CORES = len(os.sched_getaffinity(0))

Work = Callable[[], object]

FORWARD = "engine: forward"
BARE = "engine: decode, resize, forward"
IN_PROCESS = "all that we do, without a server"
ENGINES = (FORWARD, BARE, IN_PROCESS)


@contextmanager
def ceilings(model: str, film: bytes) -> Iterator[dict[str, Callable[[int], Work]]]:
    """By name, what gives each of as many threads as there are cores its work of one film.

    The network alone; the film decoded with Pillow, resized and put through the network, nothing else; and all that
    we do with a film, in this process.
    """
    spec = ModelSpec.read(WEIGHTS / model)
    engine = _engine(model, spec.input.size)
    decoder = Decoder(CORES)
    decoder.start()
    predictor = Service.open(WEIGHTS, reader=decoder.read)[model]

    def forward(_: int) -> Work:
        request, batch = engine.create_infer_request(), _batch(film, spec)
        return lambda: request.infer([batch])

    def bare(_: int) -> Work:
        request = engine.create_infer_request()
        return lambda: request.infer([_batch(film, spec)])

    def in_process(_: int) -> Work:
        return lambda: predictor.predict(film, "film.jpg")

    try:
        yield {FORWARD: forward, BARE: bare, IN_PROCESS: in_process}
    finally:
        decoder.close()


def _engine(model: str, side: int) -> Any:
    """The network as OpenVINO serves most films a second in full precision: a stream a core."""
    core = openvino.Core()
    network = core.read_model(WEIGHTS / model / "twin.xml")
    network.reshape([1, side, side, 3])
    config = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": str(CORES), "INFERENCE_NUM_THREADS": str(CORES)}
    return core.compile_model(network, "CPU", config)


def _batch(film: bytes, spec: ModelSpec) -> Any:
    """The film in the network's square, in the plainest way that gives the network what it expects."""
    side = spec.input.size
    picture = Image.open(io.BytesIO(film)).convert("L").resize((side, side), Image.Resampling.BILINEAR)
    grey = np.asarray(picture, np.float32)[None, ..., None] / np.float32(255)
    return (grey - np.asarray(spec.input.mean, np.float32)) / np.asarray(spec.input.std, np.float32)
