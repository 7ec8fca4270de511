"""Weights on disk or on the Hub become a compiled function: network input -> logits and evidence map.

The weights file of record (``.keras``, ``.h5``, ``.pth``) is checked against its SHA-256 first. Beside it lies its
compiled twin (OpenVINO IR), which names the SHA-256 of the file that it was made from; while the two match,
neither TensorFlow nor torch is imported. Otherwise the weights are converted (``predictors.convert``), compared
with the original and kept in a cache.

Weights on the Hub are fetched at a pinned revision into the Hub's own cache (``HF_HOME``), where the build of a
Space may have put them already; a copy there that is damaged is fetched again. A twin that lies beside them comes
first: while it is the one that the spec names and was made from the weights that the spec names, these need not be
fetched at all.

The bytes that were checked are the bytes that are loaded: a twin is read once and never mapped into memory, so that
a file that is replaced, truncated or lost under a running service changes nothing in it.
"""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from predictors import kept_out

with kept_out("openvino.tools.ovc"):  # the converter, 15 MiB by itself: ``predictors.convert`` alone needs it
    import openvino

from predictors.errors import ModelUnavailable
from predictors.kernels import fastest_here
from predictors.spec import HubRecord, ModelSpec

log = logging.getLogger(__name__)

SOURCE_SHA256 = "second_look_source_sha256"
"""The key in a twin's ``rt_info`` that holds the SHA-256 of the weights file it was made from."""

TWIN, STAMP = "twin.xml", "twin.sha256"

Hint = Literal["LATENCY", "THROUGHPUT"]

T = TypeVar("T")


class Output(NamedTuple):
    """What a network says of one film: logits [K] and the evidence map [h, w, K] that was pooled to them."""

    logits: NDArray[np.float32]
    evidence: NDArray[np.float32]


class Twin(NamedTuple):
    """A compiled twin in memory: its topology (``.xml``) and its weights (``.bin``)."""

    topology: bytes
    weights: bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the ``.xml`` at ``path`` and the ``.bin`` beside it; raises OSError."""
        return cls(path.read_bytes(), path.with_suffix(".bin").read_bytes())

    @property
    def sha256(self) -> str:
        """As ``twin_sha256`` says it of the files."""
        digest = hashlib.sha256(self.topology)
        digest.update(self.weights)
        return digest.hexdigest()

    def model(self) -> Any:
        """OpenVINO's form of it; raises RuntimeError if it is none."""
        return openvino.Core().read_model(self.topology, self.weights)

    def matches(self, spec: ModelSpec) -> bool:
        """Whether it is the one that ``spec`` names, and was made from the weights that ``spec`` names."""
        if spec.twin is None or self.sha256 != spec.twin.sha256:
            return False
        model = self.model()
        source = model.get_rt_info(SOURCE_SHA256).astype(str) if model.has_rt_info(SOURCE_SHA256) else ""
        return bool(source == spec.weights.sha256)


class Network:
    """A compiled network. Calling it is thread-safe: every call has an inference request of its own.

    It is gone with the call: one that were kept for the next would save 0.4 ms, and hold the film's pixels until then.
    ``hint`` says how its cores are used: "LATENCY", all of them for one film, or "THROUGHPUT", one for each film.
    """

    def __init__(self, twin: Twin, spec: ModelSpec, hint: Hint = "LATENCY") -> None:
        model = openvino.Core().read_model(fastest_here(twin.topology), twin.weights)
        model.reshape([1, spec.input.size, spec.input.size, 3])
        # Full precision: the default (bfloat16 where the CPU has it) would make the printed digits depend on the
        # machine. Answers matter more than the millisecond.
        config = {
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": hint,
            # Not pinned: two films at once, in this network or in another, would wait for the same core while the
            # other one idles (on two cores, a third fewer films a second).
            "ENABLE_CPU_PINNING": "NO",
        }
        self._compiled = openvino.Core().compile_model(model, "CPU", config)

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


def load_network(spec: ModelSpec, folder: Path, cache: Path, hint: Hint = "LATENCY") -> Network:
    """The compiled network of ``spec``, whose files lie in ``folder``; ``hint`` is as for ``Network``.

    Raises ModelUnavailable, with one sentence, if the weights are missing, are not the ones that ``spec`` names,
    cannot be read or do not fit.
    """
    try:
        twin = _twin_on_hub(spec)
        if twin is None:
            weights = _weights_file(spec, folder)
            twin = _shipped_twin(spec, folder) or _converted_twin(spec, weights, cache)
        return Network(twin, spec, hint)
    except OSError:
        raise ModelUnavailable(f"The weights of {spec.name} cannot be read from the disk.") from None
    except RuntimeError:
        raise ModelUnavailable(f"The compiled network of {spec.name} does not fit its spec.json.") from None


# The weights of record


def _weights_file(spec: ModelSpec, folder: Path) -> Path:
    """The weights file, checked."""
    if (hub := spec.hub) is not None:
        path = _intact(lambda anew: _fetched(spec, hub, spec.weights.file, anew), lambda path: _is_named(path, spec))
        if path is not None:
            return path
    else:
        path = folder / spec.weights.file
        if not path.is_file():
            raise ModelUnavailable(f"The weights file of {spec.name} is missing; put {spec.weights.file} back.")
        if _is_named(path, spec):
            return path
    raise ModelUnavailable(f"The weights of {spec.name} are not the ones its spec.json names (SHA-256 differs).")


def _is_named(weights: Path, spec: ModelSpec) -> bool:
    return sha256_of(weights) == spec.weights.sha256


def _intact(fetch: Callable[[bool], T], fits: Callable[[T], bool]) -> T | None:
    """What is fetched, if it fits. What lies in the Hub's cache and does not is fetched anew, once."""
    for anew in (False, True):
        found = fetch(anew)
        if fits(found):
            return found
    return None


def _fetched(spec: ModelSpec, hub: HubRecord, file: str, anew: bool) -> Path:
    import httpx2  # what huggingface_hub speaks HTTP with
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    faults = (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx2.HTTPError, OSError, ValueError)
    try:
        if not anew:
            with contextlib.suppress(LocalEntryNotFoundError):
                return Path(hf_hub_download(hub.repo, file, revision=hub.revision, local_files_only=True))
        # Unless it is forced, its client asks a Hub that is silent for six minutes; forced, for ten seconds, and one
        # that falls silent in the middle for a minute. We try again ourselves.
        return Path(hf_hub_download(hub.repo, file, revision=hub.revision, force_download=True))
    except faults:
        place = f"{hub.repo}@{hub.revision}"
        raise ModelUnavailable(f"The weights of {spec.name} could not be fetched from {place} on the Hub.") from None


# Their compiled twin


def _twin_on_hub(spec: ModelSpec) -> Twin | None:
    if spec.hub is None or spec.twin is None:
        return None
    hub, file = spec.hub, spec.twin.file

    def fetch(anew: bool) -> Twin:
        _fetched(spec, hub, str(Path(file).with_suffix(".bin")), anew)  # lands beside it
        return Twin.read(_fetched(spec, hub, file, anew))

    return _intact(fetch, lambda twin: twin.matches(spec))


def _shipped_twin(spec: ModelSpec, folder: Path) -> Twin | None:
    if spec.twin is None or spec.hub is not None:
        return None
    with contextlib.suppress(OSError):  # missing, a folder, not ours to read
        twin = Twin.read(folder / spec.twin.file)
        if twin.matches(spec):
            return twin
    return None


def _converted_twin(spec: ModelSpec, weights: Path, cache: Path) -> Twin:
    """The twin of a conversion: an earlier one, in whatever process, or one that is made now and kept."""
    # What the conversion depends on beside the weights' bytes.
    recipe = f"{spec.architecture}/{spec.outputs}/{spec.pooling}/{spec.activation}/{spec.input.size}"
    key = hashlib.sha256(f"{spec.weights.sha256}/{recipe}".encode()).hexdigest()[:32]
    place = cache / "twins" / key
    with _alone_at(place):
        twin = _kept_twin(place)
        if twin is None:
            twin = _conversion(spec, weights)
            _keep(twin, place, spec)
        return twin


@contextlib.contextmanager
def _alone_at(place: Path) -> Iterator[None]:
    """While this lasts no other process converts for ``place``. Where nothing can be written, none would keep it."""
    from filelock import FileLock

    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError, NotImplementedError):
            place.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(f"{place}.lock"))
        yield


def _kept_twin(place: Path) -> Twin | None:
    with contextlib.suppress(OSError, ValueError):
        twin = Twin.read(place / TWIN)
        if twin.sha256 == (place / STAMP).read_text(encoding="utf-8"):
            return twin
    return None


def _keep(twin: Twin, place: Path, spec: ModelSpec) -> None:
    """Whole or not at all, whenever the process is killed: written under another name, then renamed."""
    part = place.with_suffix(".part")
    files = {TWIN: twin.topology, str(Path(TWIN).with_suffix(".bin")): twin.weights, STAMP: twin.sha256.encode()}
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, data in files.items():
            with (part / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        shutil.rmtree(place, ignore_errors=True)  # one that did not match
        part.rename(place)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        log.warning("The converted twin of %s could not be kept; it is converted again at the next start.", spec.name)


def _conversion(spec: ModelSpec, weights: Path) -> Twin:
    from predictors.convert import convert

    try:
        with tempfile.TemporaryDirectory() as folder:
            # The frameworks open the file by its name: they are given a copy that nobody else can change.
            copy = Path(shutil.copyfile(weights, Path(folder) / weights.name))
            if not _is_named(copy, spec):
                raise ModelUnavailable(f"The weights of {spec.name} were changed while they were read.")
            convert(copy, spec, Path(folder) / TWIN)
            if spec.twin is not None:
                log.warning("The twin of %s did not match its spec.json; its weights were converted.", spec.name)
            return Twin.read(Path(folder) / TWIN)
    except ModelUnavailable:
        raise
    except ImportError:
        raise ModelUnavailable(
            f"The compiled twin of {spec.name} cannot be used, and what would make a new one is not installed; "
            "put the twin back."
        ) from None
    except Exception:  # whatever a full disk provokes in the frameworks
        raise ModelUnavailable(f"The weights of {spec.name} could not be converted.") from None
