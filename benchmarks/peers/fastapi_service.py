"""FastAPI under uvicorn, with a synchronous route: it answers in a pool of threads and the event loop stays free."""

import uvicorn
from fastapi import FastAPI, UploadFile

from benchmarks.peers.classifier import Answer, Classifier


def serve(port: int, classifier: Classifier) -> None:
    """Answer one film sent as ``file``, until told to end."""
    app = FastAPI()

    @app.post("/predict")
    def predict(file: UploadFile) -> Answer:
        return classifier(file.file.read())

    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False)
