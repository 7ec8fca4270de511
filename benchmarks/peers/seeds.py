"""All five networks as they were served before, in one Flask process: kinder to them than the five that they were."""

from benchmarks.peers.classifier import Classifier, port_and_model
from benchmarks.peers.engines import eager_torch, keras_predict
from benchmarks.peers.flask_service import serve

ENGINES = {
    "bone_fracture": keras_predict,
    "fracture_detection": eager_torch,
    "fracture_type": keras_predict,
    "breast_cancer": keras_predict,
    "pneumonia": keras_predict,
}

if __name__ == "__main__":
    port, _ = port_and_model()
    serve(port, {f"/predict/{model}": Classifier(engine, model) for model, engine in ENGINES.items()})
