"""One film through one network: our call against the ways it would be run otherwise, input array to probability."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import openvino

from benchmarks.charts import bars
from benchmarks.films import jpeg
from benchmarks.measure import Row, Spread, alternating, ratio, show, write
from benchmarks.peers.engines import ENGINES, check, positive
from benchmarks.peers.pictures import Batch
from benchmarks.servers import WEIGHTS
from predictors.image import read_film
from predictors.preprocess import network_input
from predictors.runtime import Network, Twin
from predictors.spec import ModelSpec

CONTESTANTS = {
    "bone_fracture": ("keras_predict", "tf_function", "onnx_runtime"),  # EfficientNet-B0
    "fracture_detection": ("eager_torch", "onnx_runtime"),  # ResNet-18
}
OURS, BARE, BARE_BFLOAT16 = "second_look", "bare OpenVINO", "bare OpenVINO, bfloat16"


def run(rounds: int | None = None) -> None:
    """Write ``results/forward.csv`` and a chart a network."""
    rows: list[Row] = []
    for model, names in CONTESTANTS.items():
        spec = ModelSpec.read(WEIGHTS / model)
        twin = Twin.read(WEIGHTS / model / "twin.xml")
        film = network_input(read_film(jpeg()), spec.input)
        engines: dict[str, Callable[[Batch], float]] = {
            OURS: _ours(Network(twin, spec), spec),
            BARE: _bare(twin, spec, "f32"),
            BARE_BFLOAT16: _bare(twin, spec, "bf16"),
            **{name: ENGINES[name](model) for name in names},
        }
        for name, engine in engines.items():
            if name != BARE_BFLOAT16:  # as far off as bfloat16 is: that is why it does not serve
                check(engine, model)
        calls = {name: partial(engine, film) for name, engine in engines.items()}
        seconds = alternating(calls, rounds or 400, warm_up=20)
        spreads = {name: Spread.of(each) for name, each in seconds.items()}
        for name, spread in spreads.items():
            times_ours = round(ratio(seconds[name], seconds[OURS]), 3)
            rows.append({"model": model, "contestant": name, **spread.row(), "times_ours": times_ours})
        bars(spreads, f"{spec.architecture}, one film of {spec.input.size} px, forward", f"forward_{model}")
    show(rows)
    write(rows, "forward")


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
