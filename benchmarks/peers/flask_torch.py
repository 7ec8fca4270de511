"""Flask and eager torch: how the fracture detector that was replaced answers."""

from benchmarks.peers.classifier import Classifier, port_and_model
from benchmarks.peers.engines import eager_torch
from benchmarks.peers.flask_service import serve

if __name__ == "__main__":
    port, model = port_and_model()
    serve(port, {"/predict": Classifier(eager_torch, model)})
