"""FastAPI and ONNX Runtime in float32, the network exported beforehand: neither framework is imported."""

from benchmarks.peers.classifier import Classifier, port_and_model
from benchmarks.peers.engines import onnx_runtime
from benchmarks.peers.fastapi_service import serve

if __name__ == "__main__":
    port, model = port_and_model()
    serve(port, Classifier(onnx_runtime, model))
