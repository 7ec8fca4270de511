"""FastAPI and ``keras.Model.predict``."""

from benchmarks.peers.classifier import Classifier, port_and_model
from benchmarks.peers.engines import keras_predict
from benchmarks.peers.fastapi_service import serve

if __name__ == "__main__":
    port, model = port_and_model()
    serve(port, Classifier(keras_predict, model))
