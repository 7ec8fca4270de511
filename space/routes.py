"""The public Gradio routes, by name: what ``gradio_client``, ``@gradio/client`` and plain HTTP callers use."""

import os
from collections.abc import Callable
from typing import Any

import gradio as gr
from PIL import Image

from predictors.predictor import MAX_BATCH, Answer, Predictor
from predictors.registry import Service
from space.refusals import told_by_gradio
from space.uploads import received, received_all

PREDICT = "bone_fracture"
"""The model behind ``/predict``: that name was published for it before it lived here."""

MODELS_QUEUE: dict[str, Any] = {
    "concurrency_id": "models",
    "concurrency_limit": max(1, min(4, os.cpu_count() or 1)),
}
"""All events that run a network share one line: Gradio's own limit counts each event apart, so that five tabs
would run five networks at once on a Space's two cores."""

_ARGUMENT = "image: One radiograph as a file: JPEG, PNG, WebP, TIFF, BMP or single-frame DICOM, up to 20 MB."


def add_routes(service: Service) -> None:
    """Add the named routes of every model to the ``gr.Blocks`` under construction.

    Their components stay hidden. They are file components all the same, since those bring Gradio's checks that a
    path lies in its upload folder; ``preprocess=False`` hands that checked upload over with its sender's name,
    and spares the empty temporary file that Gradio would leave behind for each.
    """
    image = gr.File(visible=False, label="image")
    images = gr.File(visible=False, label="images", file_count="multiple")
    answer = gr.JSON(visible=False, label="answer")
    picture = gr.Image(visible=False, label="heat map over the film", format="png")
    caller = gr.Button(visible=False)

    def route(name: str, fn: Callable[..., Any], inputs: Any, outputs: Any) -> None:
        caller.click(fn, inputs, outputs, api_name=name, preprocess=False, **MODELS_QUEUE)

    for predictor in service.predictors:
        route(predictor.name, _predict(predictor), image, answer)
        route(f"{predictor.name}_heatmap", _heatmap(predictor), image, [picture, answer])
        if predictor.batch:
            route(f"{predictor.name}_batch", _batch(predictor), images, answer)
    route("predict", _predict(service[PREDICT]), image, answer)


def _predict(predictor: Predictor) -> Callable[..., Answer]:
    def predict(image: Any) -> Answer:
        with told_by_gradio():
            return predictor.predict(*received(image))

    predict.__doc__ = _described(predictor, _ARGUMENT, "The answer as JSON, as the README's contract has it.")
    return predict


def _heatmap(predictor: Predictor) -> Callable[..., tuple[Image.Image, Answer]]:
    def heatmap(image: Any) -> tuple[Image.Image, Answer]:
        with told_by_gradio():
            return predictor.heatmap(*received(image))

    heatmap.__doc__ = _described(
        predictor,
        _ARGUMENT,
        'The film with its heat map (PNG), and JSON with the map\'s "peak" as fractions of width and height.',
        "Where on the film the network saw its evidence.",
    )
    return heatmap


def _batch(predictor: Predictor) -> Callable[..., Answer]:
    def batch(images: Any) -> Answer:
        with told_by_gradio():
            return predictor.predict_batch(received_all(images))

    batch.__doc__ = _described(
        predictor,
        f"images: Up to {MAX_BATCH} radiographs as a list of files.",
        "JSON with a summary and one entry a file, in the order sent; a bad file never fails the others.",
        f"Up to {MAX_BATCH} films at once.",
    )
    return batch


def _described(predictor: Predictor, argument: str, returns: str, more: str = "") -> str:
    """A docstring in the form that Gradio's API pages read."""
    purpose = f"{predictor.title}. {predictor.question} {more}".strip()
    caution = "For research and teaching only: not a medical device, not for diagnosis."
    return f"{purpose} {caution}\n\nParameters:\n    {argument}\nReturns:\n    {returns}\n"
