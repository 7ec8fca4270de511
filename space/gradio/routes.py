"""The public Gradio routes, by name: what ``gradio_client``, ``@gradio/client`` and plain HTTP callers use."""

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import gradio as gr
from gradio.context import LocalContext
from PIL import Image
from pydantic import RootModel

from predictors.finding import Answer
from predictors.predictor import MAX_BATCH, Predictor
from predictors.registry import Service
from predictors.scope import SEEN_AS
from space.desk import Desk, Door, Film, Question
from space.gradio.doors import made_folder
from space.gradio.line import AT_THE_DESK, LINE
from space.limits import JOINED, client_of
from space.refusals import told_by_gradio
from space.rest.schema import ANSWERS, AnyAnswer
from space.uploads import received, received_all

PREDICT = "bone_fracture"
"""The model behind ``/predict``: that name was published for it before it lived here."""

MODELS_QUEUE: dict[str, Any] = {"concurrency_id": LINE, "concurrency_limit": AT_THE_DESK}
"""Of every event that runs a network."""

_ARGUMENT = (
    "image: One radiograph, as a file or its public http(s) address: "
    "JPEG, PNG, WebP, TIFF, BMP or single-frame DICOM, up to 20 MB."
)


def add_routes(service: Service, desk: Desk) -> None:
    """Add the named routes of every model to the ``gr.Blocks`` under construction.

    Their components stay hidden. They are file components all the same, since those bring Gradio's checks that a
    path lies in its upload folder; ``preprocess=False`` hands that checked upload over with its sender's name,
    and spares the empty temporary file that Gradio would leave behind for each.
    """
    image = gr.File(visible=False, label="image")
    images = gr.File(visible=False, label="images", file_count="multiple")
    answer = gr.JSON(visible=False, label="answer")
    picture = gr.Image(visible=False, label="heat map over the film", format="png")
    picture.GRADIO_CACHE = str(made_folder())  # apart from the uploads, which nobody can fetch
    caller = gr.Button(visible=False)

    def route(name: str, fn: Callable[..., Any], inputs: Any, outputs: Any) -> None:
        caller.click(fn, inputs, outputs, api_name=name, preprocess=False, **MODELS_QUEUE)

    for predictor in service.predictors:
        route(predictor.name, gr.mcp.tool()(_predict(predictor, desk)), image, answer)
        route(f"{predictor.name}_heatmap", _heatmap(predictor, desk), image, [picture, answer])
        if predictor.batch:
            route(f"{predictor.name}_batch", _batch(predictor, desk), images, answer)
    route("predict", _predict(service[PREDICT], desk), image, answer)


def _predict(predictor: Predictor, desk: Desk) -> Callable[..., Awaitable[Answer]]:
    async def predict(image: Any, request: gr.Request) -> Answer:
        with told_by_gradio():
            return await desk.ask(_question(request, "predict", predictor, Film(*received(image))), predictor.predict)

    predict.__doc__ = _described(
        predictor,
        _ARGUMENT,
        f"JSON with {', '.join(_keys(predictor.name))}. Labels: {', '.join(predictor.spec.labels)}; "
        "meta names the model, its version and the threshold at which it decides.",
        _reads(predictor),
    )
    return predict


def _heatmap(predictor: Predictor, desk: Desk) -> Callable[..., Awaitable[tuple[Image.Image, Answer]]]:
    async def heatmap(image: Any, request: gr.Request) -> tuple[Image.Image, Answer]:
        with told_by_gradio():
            return await desk.ask(_question(request, "heatmap", predictor, Film(*received(image))), predictor.heatmap)

    heatmap.__doc__ = _described(
        predictor,
        _ARGUMENT,
        'The film with its heat map (PNG), and JSON with the map\'s "peak" as fractions of width and height.',
        "Where on the film the network saw its evidence.",
    )
    return heatmap


def _batch(predictor: Predictor, desk: Desk) -> Callable[..., Awaitable[Answer]]:
    async def batch(images: Any, request: gr.Request) -> Answer:
        with told_by_gradio():
            films = [Film(*film) for film in received_all(images)]
            return await desk.ask_batch(_question(request, "batch", predictor, *films))

    batch.__doc__ = _described(
        predictor,
        f"images: Up to {MAX_BATCH} radiographs as a list of files.",
        "JSON with a summary and one entry a file, in the order sent; a bad file never fails the others.",
        f"Up to {MAX_BATCH} films at once.",
    )
    return batch


def _reads(predictor: Predictor) -> str:
    kind = SEEN_AS.get(predictor.spec.scope or "")
    return f"Reads {kind}; any other picture gets no answer." if kind else ""


def _keys(name: str) -> list[str]:
    """The keys of a model's answer, in all of its shapes."""
    answer = ANSWERS.get(name, AnyAnswer)
    shapes = get_args(answer.model_fields["root"].annotation) if issubclass(answer, RootModel) else (answer,)
    return list(dict.fromkeys(key for shape in shapes for key in shape.model_fields))


def _question(request: gr.Request, route: str, predictor: Predictor, *films: Film) -> Question:
    """Gradio's MCP server asks these routes too, and says so in a header."""
    door: Door = "mcp" if request.headers.get("x-gradio-user") == "mcp" else "gradio"
    key = request.headers.get("idempotency-key", "")
    return Question(door, route, predictor, films, key, **waited(request))


def waited(request: gr.Request) -> dict[str, Any]:
    """Whose question it is, and since when it has waited in Gradio's queue."""
    scope = request.request.scope  # type: ignore[union-attr]  # None only in functions that are called by hand
    return {"client": client_of(scope), "since": scope[JOINED], "still_there": _listening()}


def _listening() -> Callable[[], Awaitable[bool]]:
    """Whether the caller of the event that Gradio runs just now still waits for it, to be asked at any later time."""
    page, event = LocalContext.blocks.get(None), LocalContext.event_id.get(None)

    async def still_there() -> bool:
        asked = page._queue.event_ids_to_events.get(event) if page and event else None
        return asked is None or asked.alive

    return still_there


def _described(predictor: Predictor, argument: str, returns: str, more: str = "") -> str:
    """A docstring in the form that Gradio's API pages read."""
    purpose = f"{predictor.title}. {predictor.question} {more}".strip()
    caution = "For research and teaching only: not a medical device, not for diagnosis."
    return f"{purpose} {caution}\n\nParameters:\n    {argument}\nReturns:\n    {returns}\n"
