"""The page: one tab from one predictor, and what there is to know about all of them."""

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
import gradio as gr

from predictors.errors import FileTooLarge, OutOfScope, SecondLookError
from predictors.finding import DISCLAIMER, Answer, Finding
from predictors.image import MAX_BYTES
from predictors.predictor import MAX_BATCH, Predictor, Source
from predictors.registry import Service
from predictors.scope import SEEN_AS
from predictors.stages import ENCODE, SECOND_READER, stage
from space.desk import Desk, Film, Question
from space.fetch import fetch_for_gradio
from space.gradio.line import FairQueue
from space.gradio.routes import MODELS_QUEUE, add_routes, waited
from space.page.about import card, overview_html
from space.page.batch import batch_html
from space.page.render import WAITING, finding_html, refusal_html
from space.refusals import foreseen, hush_gradio
from space.uploads import CHECK_EVERY, KEEP_FOR, received, received_all

TITLE = "Second Look"
PURPOSE = "A second reader for radiographs: five networks, each asked one question, each showing where it looked."
SESSIONS = 16

_HERE = Path(__file__).parent
STYLE = _HERE / "theme.css"

_PAGE_EVENT: dict[str, Any] = {"api_visibility": "private", "preprocess": False, **MODELS_QUEUE}
"""The page's own events are no routes. Like the routes, they take a checked upload as it came."""


def build(service: Service, desk: Desk) -> gr.Blocks:
    """The page and the named routes, ready to be mounted."""
    page: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.HTML(_masthead())
        with gr.Tabs():
            for predictor in service.predictors:
                with gr.Tab(predictor.title, id=predictor.name):
                    second = predictor.model.second_reader
                    _tab(predictor, service[second] if second else None, desk)
            with gr.Tab("About the models", id="about"):
                _about(service)
        add_routes(service, desk)
        page.unload(_forget(page))
    page.queue(api_open=False)  # "open" means that callers may skip the queue
    page._queue = FairQueue(page, desk)
    # Gradio keeps every session's last values in memory, films on the page among them.
    page.state_session_capacity = SESSIONS
    # Gradio checks that a caller's path is an upload only once an app is launched, and mounting one does not count:
    # without this, any picture on this machine could be asked about.
    page.has_launched = True
    hush_gradio()
    fetch_for_gradio()
    return page


def head() -> str:
    """What the page's HTML head needs besides Gradio's own."""
    constants = json.dumps({"maxBytes": MAX_BYTES, "tooLarge": FileTooLarge.sentence})
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    return f"<script>window.secondLook ??= {constants};\n{script}</script>"


def theme() -> gr.themes.Base:
    """Calm and legible, in the reader's own system fonts: no font is fetched from anywhere."""
    soft = gr.themes.Soft(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="md",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "monospace"],
    )
    return soft.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        block_border_width="1px",
        block_label_text_color="*primary_800",
        block_label_background_fill_dark="*primary_800",
    )


def _masthead() -> str:
    return (
        f'<header class="sl-masthead"><h1>{TITLE}</h1><p class="sl-purpose">{PURPOSE}</p>'
        f'<p class="sl-disclaimer"><strong>{DISCLAIMER}</strong></p><div class="sl-aloud" role="status"></div></header>'
    )


def _forget(page: gr.Blocks) -> Any:
    def forget(request: gr.Request) -> None:
        page.state_holder.session_data.pop(request.session_hash or "", None)

    return forget


# One tab


def _tab(predictor: Predictor, second: Predictor | None, desk: Desk) -> None:
    with gr.Row(elem_classes="sl-tab"):
        with gr.Column(scale=2, min_width=300, elem_classes="sl-ask"):
            gr.HTML(_intro(predictor))
            film = gr.File(label="Radiograph", height=170, elem_classes="sl-upload")
            gr.HTML(_HINT)
            clear = gr.Button("Clear", size="sm", variant="secondary", elem_classes="sl-clear")
        with gr.Column(scale=5, min_width=320):
            result = gr.HTML(WAITING, elem_classes="sl-result-box")
            with gr.Accordion("Answer as JSON", open=False, elem_classes="sl-json"):
                answer = gr.JSON(show_label=False, container=False)
    film.upload(_examine(predictor, second, desk), film, [result, answer, film], show_progress_on=result, **_PAGE_EVENT)
    clear.click(lambda: (WAITING, None, None), None, [result, answer, film], api_visibility="private", queue=False)
    if predictor.batch:
        _several(predictor, desk)


_HINT = (
    '<p class="sl-hint">JPEG, PNG, WebP, TIFF, BMP or DICOM, up to 20 MB. Drop, pick or paste; it is answered at once. '
    f"Uploads are deleted within {math.ceil((CHECK_EVERY + KEEP_FOR) / 60)} minutes.</p>"
    '<p class="sl-notice" role="alert"></p>'
)


def _intro(predictor: Predictor) -> str:
    kind = SEEN_AS.get(predictor.spec.scope or "")
    reads = f"<p>Send {kind}.</p>" if kind else ""
    return f'<div class="sl-intro"><h2>{predictor.question}</h2>{reads}</div>'


def _examine(predictor: Predictor, second: Predictor | None, desk: Desk) -> Any:
    """One upload, one run of the network: answer, heat map and JSON all come from the same finding."""

    def opinion_on(finding: Finding) -> Finding | None:
        if second is None:
            return None
        with suppress(SecondLookError), stage(SECOND_READER), desk.metrics.film(second.name, "page"), foreseen():
            return second.reread(finding)
        return None  # the answer does not wait for the other reader to be mended

    def shown(film: Source, filename: str) -> tuple[str, Answer]:
        finding = predictor.examine(film, filename)
        answer = predictor.answer(finding)
        opinion = opinion_on(finding)
        with stage(ENCODE):
            return finding_html(finding, answer, opinion), answer

    async def examine(upload: Any, request: gr.Request) -> tuple[str, Answer | None, None]:
        filename = ""
        try:
            with foreseen():
                path, filename = received(upload)
                question = Question("page", "tab", predictor, [Film(path, filename)], **waited(request))
                return *await desk.ask(question, shown), None
        except SecondLookError as error:
            # A film that was read but is of another kind is shown, so that a mix-up is seen at once.
            film = error.film if isinstance(error, OutOfScope) else None
            return await anyio.to_thread.run_sync(refusal_html, str(error), filename, film), None, None

    return examine


def _several(predictor: Predictor, desk: Desk) -> None:
    with gr.Accordion(f"Several films at once, up to {MAX_BATCH}", open=False, elem_classes="sl-several"):
        films = gr.File(label="Radiographs", file_count="multiple", height=140)
        table = gr.HTML()
        with gr.Accordion("Answers as JSON", open=False):
            answer = gr.JSON(show_label=False, container=False)

    async def examine_several(uploads: Any, request: gr.Request) -> tuple[str, Answer | None, None]:
        try:
            with foreseen():
                films = [Film(*film) for film in received_all(uploads)]
                answers = await desk.ask_batch(Question("page", "batch", predictor, films, **waited(request)))
                return batch_html(answers, predictor.name), answers, None
        except SecondLookError as error:
            return refusal_html(str(error)), None, None

    films.upload(examine_several, films, [table, answer, films], show_progress_on=table, **_PAGE_EVENT)


# About


def _about(service: Service) -> None:
    gr.HTML(
        '<div class="sl-intro"><h2>About the models</h2><p>Every figure below is read from the model\'s own record, '
        "which its training wrote. None of them says how a model does in your hospital, on your machine, for your "
        "patients.</p></div>"
    )
    for predictor in service.predictors:
        gr.HTML(overview_html(predictor))
        if text := card(predictor):
            with gr.Accordion(f"Model card: {predictor.title}", open=False):
                gr.Markdown(text)
