"""LitServe with ONNX Runtime: one server process that listens, one worker process that has the network.

One worker with a thread on every core answers a single caller soonest, and does not fight another for two cores.
"""

import litserve
import litserve.server
from fastapi import Request

from benchmarks.peers.classifier import Answer, Classifier, port_and_model
from benchmarks.peers.engines import onnx_file, onnx_runtime

# It takes the package mcp, which Gradio needs, for the package fastmcp, which it needs itself, and does not start.
litserve.server._MCP_AVAILABLE = False


class Film(litserve.LitAPI):
    """The service's one route."""

    def __init__(self, model: str) -> None:
        super().__init__(api_path="/predict")
        self._model = model

    def setup(self, device: str) -> None:
        """Load the network, in the worker."""
        self._classifier = Classifier(onnx_runtime, self._model)

    def decode_request(self, request: Request) -> bytes:
        """The film's file; what arrives is the form, in spite of the annotation that LitServe asks for."""
        file: bytes = request["file"].file.read()
        return file

    def predict(self, x: bytes) -> Answer:
        """The answer to one film."""
        return self._classifier(x)

    def encode_response(self, output: Answer) -> Answer:
        """It is JSON as it is."""
        return output


if __name__ == "__main__":
    port, model = port_and_model()
    onnx_file(model)  # before any process is started that wants it
    server = litserve.LitServer(Film(model), accelerator="cpu", workers_per_device=1, timeout=120)
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
