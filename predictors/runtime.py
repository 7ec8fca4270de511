"""Weights on disk or on the Hub become a compiled function: network input -> logits and evidence map.

The weights file of record (``.keras``, ``.h5``, ``.pth``) is checked against its SHA-256 first. Beside it lies its
compiled twin (OpenVINO IR), which names the SHA-256 of the file that it was made from; while the two match,
neither TensorFlow nor torch is imported. Otherwise the weights are converted (``predictors.convert``), compared
with the original and kept in a cache.

Weights on the Hub are fetched at a pinned revision into the Hub's own cache (``HF_HOME``), where the build of a
Space may have put them already. A twin that lies beside them comes first: while it is the one that the spec names
and was made from the weights that the spec names, these need not be fetched at all.
"""

import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import openvino
from numpy.typing import NDArray

from predictors.errors import ModelUnavailable
from predictors.spec import HubRecord, ModelSpec

SOURCE_SHA256 = "second_look_source_sha256"
"""The key in a twin's ``rt_info`` that holds the SHA-256 of the weights file it was made from."""


class Output(NamedTuple):
    """What a network says of one film: logits [K] and the evidence map [h, w, K] that was pooled to them."""

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]


class Network:
    """A compiled network. Calling it is thread-safe: every call has an inference request of its own."""

    def __init__(self, twin: Path, spec: ModelSpec) -> None:
        core = openvino.Core()
        model = core.read_model(twin)
        model.reshape([1, spec.input.size, spec.input.size, 3])
        # Full precision: the default (bfloat16 where the CPU has it) would make the printed digits depend on the
        # machine. Answers matter more than the millisecond.
        config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        self._compiled = core.compile_model(model, "CPU", config)

    def __call__(self, batch: NDArray[np.float32]) -> Output:
        """Run one film: float32 [1, size, size, 3] to its ``Output``."""
        result = self._compiled.create_infer_request().infer([batch])
        return Output(result["logits"][0].copy(), result["evidence"][0].copy())


def sha256_of(*paths: Path) -> str:
    """SHA-256 of the files' bytes, one after the other, as hex."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def twin_sha256(twin: Path) -> str:
    """SHA-256 of a twin: its topology and its weights."""
    return sha256_of(twin, twin.with_suffix(".bin"))


def default_cache() -> Path:
    """Where conversions are kept: ``SECOND_LOOK_CACHE`` or ``~/.cache/second_look``."""
    return Path(os.environ.get("SECOND_LOOK_CACHE", Path.home() / ".cache" / "second_look"))


def load_network(spec: ModelSpec, folder: Path, cache: Path) -> Network:
    """The compiled network of ``spec``, whose files lie in ``folder``.

    Raises ModelUnavailable, with one sentence, if the weights are missing, are not the ones that ``spec`` names,
    cannot be read or do not fit.
    """
    twin = _twin_on_hub(spec)
    if twin is None:
        weights = _weights_file(spec, folder)
        if sha256_of(weights) != spec.weights.sha256:
            raise ModelUnavailable(
                f"The weights of {spec.name} are not the ones its spec.json names (SHA-256 differs)."
            )
        twin = _shipped_twin(spec, folder) or _converted_twin(spec, weights, cache)
    try:
        return Network(twin, spec)
    except RuntimeError:
        raise ModelUnavailable(f"The compiled network of {spec.name} does not fit its spec.json.") from None


def _weights_file(spec: ModelSpec, folder: Path) -> Path:
    if spec.hub is not None:
        return _fetched(spec, spec.hub, spec.weights.file)
    path = folder / spec.weights.file
    if not path.is_file():
        raise ModelUnavailable(f"The weights file of {spec.name} is missing; put {spec.weights.file} back.")
    return path


def _fetched(spec: ModelSpec, hub: HubRecord, file: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(hf_hub_download(hub.repo, file, revision=hub.revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, ValueError):
        place = f"{hub.repo}@{hub.revision}"
        raise ModelUnavailable(f"The weights of {spec.name} could not be fetched from {place} on the Hub.") from None


def _twin_on_hub(spec: ModelSpec) -> Path | None:
    if spec.hub is None or spec.twin is None:
        return None
    twin = _fetched(spec, spec.hub, spec.twin.file)
    _fetched(spec, spec.hub, str(Path(spec.twin.file).with_suffix(".bin")))  # lands beside it
    return twin if _matches(spec, twin) else None


def _shipped_twin(spec: ModelSpec, folder: Path) -> Path | None:
    if spec.twin is None or spec.hub is not None:
        return None
    twin = folder / spec.twin.file
    return twin if _matches(spec, twin) else None


def _matches(spec: ModelSpec, twin: Path) -> bool:
    """Whether the twin is the one that ``spec`` names, and was made from the weights that ``spec`` names."""
    if spec.twin is None or not twin.is_file() or not twin.with_suffix(".bin").is_file():
        return False
    return twin_sha256(twin) == spec.twin.sha256 and _made_from(twin) == spec.weights.sha256


def _made_from(twin: Path) -> str:
    model: Any = openvino.Core().read_model(twin)
    return str(model.get_rt_info(SOURCE_SHA256).astype(str)) if model.has_rt_info(SOURCE_SHA256) else ""


def _converted_twin(spec: ModelSpec, weights: Path, cache: Path) -> Path:
    # What the conversion depends on beside the weights' bytes.
    recipe = f"{spec.architecture}/{spec.outputs}/{spec.pooling}/{spec.activation}/{spec.input.size}"
    key = hashlib.sha256(f"{spec.weights.sha256}/{recipe}".encode()).hexdigest()[:32]
    twin = cache / "twins" / key / "twin.xml"
    stamp = twin.with_suffix(".sha256")
    files = (twin, twin.with_suffix(".bin"), stamp)
    if all(file.is_file() for file in files) and twin_sha256(twin) == stamp.read_text(encoding="utf-8"):
        return twin
    from predictors.convert import convert

    twin.parent.mkdir(parents=True, exist_ok=True)
    convert(weights, spec, twin)
    stamp.write_text(twin_sha256(twin), encoding="utf-8")
    return twin
