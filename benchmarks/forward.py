"""One film through one network: our call against the ways it would be run otherwise, input array to probability.

EfficientNet-B0 is measured at 224 px, the size that is usual for it, beside the size that it is served at.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from benchmarks.charts import bars
from benchmarks.films import jpeg
from benchmarks.measure import Row, Spread, alternating, ratio, show, write
from benchmarks.peers.engines import ENGINES, check, positive
from benchmarks.peers.pictures import Batch
from benchmarks.servers import WEIGHTS
from predictors.convert import convert
from predictors.image import read_film
from predictors.preprocess import network_input
from predictors.runtime import Network, Twin, sha256_of, twin_sha256
from predictors.spec import FileRecord, ModelSpec

KERAS, TORCH = ("keras_predict", "tf_function", "onnx_runtime"), ("eager_torch", "onnx_runtime")
USUAL_SIZE = 224
OURS, BARE, BARE_BFLOAT16 = "second_look", "bare OpenVINO", "bare OpenVINO, bfloat16"


def run(rounds: int | None = None) -> None:
    """Write ``forward.csv`` and a chart a network."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            *_compared(_at_usual_size("bone_fracture", Path(folder)), KERAS, rounds),
            *_compared(WEIGHTS / "bone_fracture", KERAS, rounds),
            *_compared(WEIGHTS / "fracture_detection", TORCH, rounds),
        ]
    show(rows)
    write(rows, "forward")


def _compared(model: Path, names: tuple[str, ...], rounds: int | None) -> list[Row]:
    """The network whose folder is ``model`` under us, OpenVINO alone, and the engines of these ``names``."""
    spec = ModelSpec.read(model)
    twin = Twin.read(model / "twin.xml")
    film = network_input(read_film(jpeg()), spec.input)
    engines: dict[str, Callable[[Batch], float]] = {
        OURS: _ours(Network(twin, spec), spec),
        BARE: _bare(twin, spec, "f32"),
        BARE_BFLOAT16: _bare(twin, spec, "bf16"),
        **{name: ENGINES[name](str(model)) for name in names},
    }
    for name, engine in engines.items():
        if name != BARE_BFLOAT16:  # as far off as bfloat16 is: that is why it does not serve
            check(engine, str(model))
    calls = {name: partial(engine, film) for name, engine in engines.items()}
    seconds = alternating(calls, rounds or 400, warm_up=20)
    spreads = {name: Spread.of(each) for name, each in seconds.items()}
    what = {"model": spec.name, "size": spec.input.size}
    title = f"{spec.architecture}, one film of {spec.input.size} px, forward"
    bars(spreads, title, f"forward_{spec.name}_{spec.input.size}")
    return [
        {**what, "contestant": name, **spread.row(), "times_ours": round(ratio(seconds[name], seconds[OURS]), 3)}
        for name, spread in spreads.items()
    ]


def _at_usual_size(model: str, folder: Path) -> Path:
    """The folder of the same network with another input size: weights of record, twin and ``spec.json``."""
    from training.keras_files import keras_model
    from training.recipes import RECIPES

    spec = ModelSpec.read(WEIGHTS / model)
    resized = replace(spec.input, size=USUAL_SIZE)
    network = keras_model(replace(RECIPES[model], input=resized))
    network.load_weights(WEIGHTS / model / spec.weights.file)
    out = folder / model
    out.mkdir()
    network.save(out / spec.weights.file)
    spec = replace(spec, input=resized, weights=FileRecord(spec.weights.file, sha256_of(out / spec.weights.file)))
    convert(out / spec.weights.file, spec, out / "twin.xml")
    replace(spec, twin=FileRecord("twin.xml", twin_sha256(out / "twin.xml"))).write(out)
    return out


def _ours(network: Network, spec: ModelSpec) -> Callable[[Batch], float]:
    return lambda batch: positive(network(batch).logits[None], spec)


def _bare(twin: Twin, spec: ModelSpec, precision: str) -> Callable[[Batch], float]:
    """OpenVINO with nothing around it: one inference request, kept."""
    model = twin.model()
    model.reshape([1, spec.input.size, spec.input.size, 3])
    config = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
    compiled: Any = openvino.Core().compile_model(model, "CPU", config)
    request, logits = compiled.create_infer_request(), compiled.output("logits")

    def engine(batch: Batch) -> float:
        return positive(np.asarray(request.infer([batch])[logits]), spec)

    return engine
