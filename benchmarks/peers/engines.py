"""Ways to run one of our networks: each engine takes its input and gives the probability of the positive label.

The probability is the network's own, not calibrated. The weights are those of record, the same file that our compiled
twin was made from; ``check`` says whether an engine computes what the twin computes. Frameworks are imported by who
asks for their engine, and by nobody else: a service with ONNX Runtime must not pay for TensorFlow.

A network is named by its folder in ``weights/``, or by the path of such a folder elsewhere.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.pictures import Batch
from predictors.probability import probabilities
from predictors.spec import ModelSpec

ROOT = Path(__file__).parent.parent.parent
WEIGHTS = ROOT / "weights"
ONNX = ROOT / "benchmarks" / ".cache" / "onnx"
"""Exported networks, each named by the weights that it was made from."""

TOLERANCE = 1e-3
"""In probability; our twins hold their weights at half precision."""

CORES = len(os.sched_getaffinity(0))

Engine = Callable[[Batch], float]


def keras_predict(model: str) -> Engine:
    """``keras.Model.predict``, as most services call it."""
    network, spec = _keras(model), read_spec(model)

    def engine(batch: Batch) -> float:
        return positive(network.predict(batch, verbose=0), spec)

    return engine


def tf_function(model: str) -> Engine:
    """The same network traced once into a TensorFlow graph of fixed shape: ``tf.function``."""
    import tensorflow as tf

    network, spec = _keras(model), read_spec(model)
    shape = [1, spec.input.size, spec.input.size, 3]
    traced = tf.function(lambda film: network(film, training=False), [tf.TensorSpec(shape, tf.float32)])

    def engine(batch: Batch) -> float:
        return positive(traced(tf.constant(batch)).numpy(), spec)

    return engine


def eager_torch(model: str) -> Engine:
    """The network in torch, operation by operation, without gradients."""
    import torch

    from benchmarks.peers.torch_networks import torch_network

    network, spec = torch_network(model), read_spec(model)

    def engine(batch: Batch) -> float:
        with torch.inference_mode():
            return positive(network(torch.from_numpy(batch)).numpy(), spec)

    return engine


def onnx_runtime(model: str, threads: int = CORES) -> Engine:
    """ONNX Runtime in float32, all its graph optimisations on, one film on so many threads."""
    import onnxruntime

    spec = read_spec(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_file(model), options, providers=["CPUExecutionProvider"])

    def engine(batch: Batch) -> float:
        return positive(session.run(["logits"], {"film": batch})[0], spec)

    return engine


ENGINES: dict[str, Callable[[str], Engine]] = {
    "keras_predict": keras_predict,
    "tf_function": tf_function,
    "eager_torch": eager_torch,
    "onnx_runtime": onnx_runtime,
}
"""By name; the first two take the networks that are Keras files."""


def check(engine: Engine, model: str) -> float:
    """The largest difference in probability from our network; raises ValueError if it is another network's."""
    from predictors.runtime import Network, Twin

    spec = read_spec(model)
    if spec.twin is None:
        raise ValueError(f"{model} has no compiled twin to compare with")
    ours = Network(Twin.read(WEIGHTS / model / spec.twin.file), spec)
    differences = [abs(engine(batch) - positive(ours(batch).logits[None], spec)) for batch in _inputs(spec)]
    if max(differences) > TOLERANCE:
        raise ValueError(f"this engine does not compute {model}: its probability is off by {max(differences):.4f}")
    return max(differences)


def read_spec(model: str) -> ModelSpec:
    """What there is to know of the network."""
    return ModelSpec.read(WEIGHTS / model)


def positive(logits: NDArray[np.float32], spec: ModelSpec) -> float:
    """The network's probability of its positive label, from logits [1, K]."""
    return probabilities(logits[0], replace(spec, temperature=1.0, bias=0.0))[spec.positive]


def onnx_file(model: str) -> Path:
    """The network in ONNX; exported by a process of its own if this is the first time that it is asked for."""
    path = ONNX / f"{Path(model).name}_{read_spec(model).weights.sha256[:16]}.onnx"
    if not path.is_file():
        subprocess.run([sys.executable, "-m", "benchmarks.peers.export", model, str(path)], cwd=ROOT, check=True)
    return path


def _inputs(spec: ModelSpec) -> list[Batch]:
    from predictors.preprocess import normalised

    # Blocks of even grey: on white noise most networks are so sure that every difference vanishes.
    blocks = np.random.default_rng(0).random((4, 8, 8), np.float32)
    scale = -(-spec.input.size // 8)
    planes = blocks.repeat(scale, axis=1).repeat(scale, axis=2)[:, : spec.input.size, : spec.input.size]
    return [normalised(plane, spec.input)[None] for plane in planes]


def _keras(model: str) -> Any:
    """The Keras model, its evidence map left out."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    path = WEIGHTS / model / read_spec(model).weights.file
    network = keras.models.load_model(path, compile=False, safe_mode=True)
    (logits,) = (output for output in network.outputs if len(output.shape) == 2)
    return keras.Model(network.input, logits)
