"""A weights file becomes its compiled twin, and is compared with it. The only module that imports the frameworks.

Every twin keeps one convention, whatever it was made from: input float32 [N, size, size, 3], outputs ``logits``
[N, K] and ``evidence`` [N, h, w, K].
"""

import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino.tools.ovc import convert_model

from predictors.errors import ModelUnavailable
from predictors.preprocess import normalised
from predictors.probability import probabilities
from predictors.runtime import SOURCE_SHA256
from predictors.spec import ModelSpec

TOLERANCE = 1e-3
"""The largest difference in probability between a twin, its weights rounded to half precision, and its original."""

Original = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""The original network, in its own framework: a batch to its logits [N, K]."""


def convert(weights: Path, spec: ModelSpec, twin: Path) -> float:
    """Write ``weights``' compiled twin to ``twin`` (``.xml``, with the ``.bin`` beside it).

    Returns the largest difference in probability from the original on a batch of random inputs. Raises
    ModelUnavailable if the file cannot be read safely, does not fit ``spec``, or its twin answers otherwise.
    """
    load = _keras_original if weights.suffix in {".keras", ".h5"} else _torch_original
    model, original = load(weights, spec)
    model.set_rt_info(spec.weights.sha256, SOURCE_SHA256)
    openvino.save_model(model, twin, compress_to_fp16=True)
    difference = _difference(twin, original, spec)
    if difference > TOLERANCE:
        raise ModelUnavailable(f"The compiled form of {spec.name} answers differently from its weights file.")
    return difference


def _difference(twin: Path, original: Original, spec: ModelSpec) -> float:
    # Blocks of even grey, since on white noise most networks are so sure that every difference vanishes.
    blocks = np.random.default_rng(0).random((4, 8, 8, 3), np.float32)
    scale = -(-spec.input.size // 8)
    pictures = blocks.repeat(scale, axis=1).repeat(scale, axis=2)[:, : spec.input.size, : spec.input.size]
    batch = normalised(pictures, replace(spec.input, colour="rgb"))
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(twin), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ours, theirs = (
        [list(probabilities(logits, spec).values()) for logits in every]
        for every in (compiled([batch])["logits"], original(batch))
    )
    return float(np.abs(np.subtract(ours, theirs)).max())


def _named(model: Any, spec: ModelSpec) -> Any:
    """Name the two outputs by their rank, and check both shapes."""
    for output in model.outputs:
        output.get_tensor().set_names({"logits" if len(output.partial_shape) == 2 else "evidence"})
    shapes = {name: tuple(o.partial_shape) for o in model.outputs for name in o.get_names()}
    for name, rank in (("logits", 2), ("evidence", 4)):
        shape = shapes.get(name, ())
        if len(shape) != rank or not shape[-1].is_static or shape[-1].get_length() != spec.outputs:
            raise _misfit(spec)
    return model


def _misfit(spec: ModelSpec) -> ModelUnavailable:
    return ModelUnavailable(
        f"The weights of {spec.name} do not fit: expected {spec.input.size}x{spec.input.size}x3 in, "
        f"{spec.outputs} out, ending in global average pooling and one dense layer."
    )


def _unreadable(spec: ModelSpec) -> ModelUnavailable:
    return ModelUnavailable(f"The weights file of {spec.name} is damaged or of another format.")


def _keras_original(weights: Path, spec: ModelSpec) -> tuple[Any, Original]:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    try:
        model = keras.models.load_model(weights, compile=False, safe_mode=True)
    except Exception:  # whatever a damaged or unsafe file provokes in Keras, h5py or zipfile
        raise _unreadable(spec) from None
    if not isinstance(model, keras.Model) or tuple(model.input_shape) != (
        None,
        spec.input.size,
        spec.input.size,
        3,
    ):
        raise _misfit(spec)
    two = _with_evidence(model, spec)

    def original(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(two(batch, training=False)[0])

    return _named(_traced(two), spec), original


def _traced(model: Any) -> Any:
    """A Keras model as OpenVINO reads it: traced once, its weights frozen into the graph.

    ``Model.export`` traces it several times, and took three to four times as long for the same network.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2 as frozen

    source = tf.TensorSpec(model.input.shape, tf.float32)
    graph = frozen(tf.function(lambda x: model(x, training=False)).get_concrete_function(source)).graph
    with tempfile.TemporaryDirectory() as folder:
        return convert_model(tf.io.write_graph(graph, folder, "model.pb", as_text=False))


def _with_evidence(model: Any, spec: ModelSpec) -> Any:
    """The model with outputs [logits, evidence]: as it comes, or rearranged from pooling and one dense layer."""
    import keras

    if len(model.outputs) == 2:
        logits, evidence = sorted(model.outputs, key=lambda tensor: len(tensor.shape))
        return keras.Model(model.input, [logits, evidence])
    *_, last = model.layers
    before = [layer for layer in model.layers[:-1] if not isinstance(layer, keras.layers.Dropout)]
    pool = before[-1] if before else None
    if not isinstance(last, keras.layers.Dense) or not isinstance(pool, keras.layers.GlobalAveragePooling2D):
        raise _misfit(spec)
    if last.activation.__name__ not in {"linear", spec.activation}:
        raise ModelUnavailable(f"The weights of {spec.name} end in {last.activation.__name__}, not {spec.activation}.")
    # Pooling and a linear layer commute: the dense layer, spoken at every position, is the class-activation map.
    speak = keras.layers.Conv2D(last.units, 1, use_bias=last.use_bias)
    evidence = speak(pool.input)
    speak.set_weights([last.kernel[None, None], *([last.bias] if last.use_bias else [])])
    return keras.Model(model.input, [keras.layers.GlobalAveragePooling2D()(evidence), evidence])


def _torch_original(weights: Path, spec: ModelSpec) -> tuple[Any, Original]:
    # Triton, torch's compiler for GPUs, brings an LLVM of its own, which ends a process that has TensorFlow's already.
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # what is None there cannot be imported
    import torch

    from predictors.architectures import ARCHITECTURES

    if spec.architecture not in ARCHITECTURES:
        raise ModelUnavailable(f"There is no torch architecture {spec.architecture!r}; known: {list(ARCHITECTURES)}.")
    network = ARCHITECTURES[spec.architecture](spec.outputs, spec.pooling)
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception:  # whatever a damaged or unsafe file provokes in torch, pickle or zipfile
        raise _unreadable(spec) from None
    state = state.get("state_dict", state) if isinstance(state, dict) else {}
    try:
        network.net.load_state_dict({name: value.float() for name, value in state.items()})
    except (RuntimeError, AttributeError):
        raise _misfit(spec) from None

    class ChannelsLast(torch.nn.Module):
        """The network under the twins' convention: [N, H, W, 3] in, evidence [N, h, w, K] out."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits, evidence, _ = self.network(x.permute(0, 3, 1, 2))
            return logits, evidence.permute(0, 2, 3, 1)

    both = ChannelsLast().eval()

    def original(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(both(torch.from_numpy(batch))[0])

    size = spec.input.size
    with torch.no_grad():
        model = convert_model(both, example_input=torch.zeros(1, size, size, 3), input=[-1, size, size, 3])
    return _named(model, spec), original
