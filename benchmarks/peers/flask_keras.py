"""Flask and ``keras.Model.predict``: how most of the services that were replaced answer."""

from benchmarks.peers.classifier import Classifier, port_and_model
from benchmarks.peers.engines import keras_predict
from benchmarks.peers.flask_service import serve

if __name__ == "__main__":
    port, model = port_and_model()
    serve(port, {"/predict": Classifier(keras_predict, model)})
