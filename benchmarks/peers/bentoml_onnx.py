"""BentoML with ONNX Runtime, one worker with a thread for each core.

BentoML imports its services by name, so that this module has two sides: as a command it becomes ``bentoml serve``,
which imports it again for the service.
"""

import os
import sys
from pathlib import Path

import bentoml

from benchmarks.peers.classifier import Answer, Classifier, port_and_model
from benchmarks.peers.engines import CORES, onnx_file, onnx_runtime

MODEL = "BENCHMARK_MODEL"


@bentoml.service(workers=1, threads=CORES, traffic={"timeout": 120})
class Film:
    """The service's one route."""

    def __init__(self) -> None:
        self._classifier = Classifier(onnx_runtime, os.environ[MODEL])

    @bentoml.api(route="/predict")
    def predict(self, file: Path) -> Answer:
        """The answer to one film."""
        return self._classifier(file.read_bytes())


if __name__ == "__main__":
    port, os.environ[MODEL] = port_and_model()
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    onnx_file(os.environ[MODEL])
    serve = ["bentoml", "serve", "benchmarks.peers.bentoml_onnx:Film", "--host", "127.0.0.1", "--port", str(port)]
    os.execv(sys.executable, [sys.executable, "-m", *serve])  # noqa: S606
