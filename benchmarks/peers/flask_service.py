"""Flask, served by its own threaded server, as the services that were replaced start it: ``app.run()``."""

import logging
from collections.abc import Callable, Mapping

from flask import Flask, request

from benchmarks.peers.classifier import Answer, Classifier


def serve(port: int, classifiers: Mapping[str, Classifier]) -> None:
    """Answer one film sent as ``file`` at each path, until told to end."""
    app = Flask(__name__)
    for path, classifier in classifiers.items():
        app.add_url_rule(path, path, _view(classifier), methods=["POST"])
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # no line a request: we write none of that kind either
    app.run(host="127.0.0.1", port=port, threaded=True)


def _view(classifier: Classifier) -> Callable[[], Answer]:
    def predict() -> Answer:
        return classifier(request.files["file"].read())

    return predict
