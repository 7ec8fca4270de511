"""The REST routes: one router from one predictor, and the service's own; an app of its own, with its document."""

import io

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.openapi.docs import get_redoc_html
from fastapi_offline import FastAPIOffline
from PIL import Image
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import HTMLResponse, JSONResponse

from predictors.errors import ModelLoading
from predictors.finding import DISCLAIMER, Answer
from predictors.predictor import MAX_BATCH, Predictor, Source, Status
from predictors.registry import Service
from predictors.stages import ENCODE, stage
from space.desk import Desk, Film, Question
from space.http.addresses import Foreseen, nothing_there
from space.limits import client_of
from space.metrics import CONTENT_TYPE
from space.refusals import told_by_http
from space.rest import schema
from space.rest.declared import (
    KEY,
    PEAK,
    about,
    answers,
    answers_picture,
    answers_text,
    model_of,
    not_ready,
    one_film,
    several_films,
)
from space.rest.examples import EXAMPLES, batch_example
from space.rest.forms import BATCH_FIELD, FIELDS, films_of

VERSION = "1.0.0"
"""Of these routes, not of any model."""

RUN_PREDICT = "bone_fracture"
"""The model behind ``/run/predict``: that address was published for it before it lived here."""

_DESCRIPTION = f"""Five radiograph classifiers, and a heat map from each. **{DISCLAIMER}**

Every refusal is `{{"detail", "code"}}`: one plain sentence, and a code that does not change. An address that is not
listed here answers 404 (`unknown_model` under `/api`, else `not_found`), another method 405 (`method_not_allowed`).
What will pass (503: `busy`, `model_loading`) names its `Retry-After` in seconds."""


def create_rest(service: Service, desk: Desk) -> FastAPI:
    """The REST routes of every model, of the service, and their documents at ``/docs`` and ``/redoc``."""
    app = FastAPIOffline(
        title="Second Look",
        version=VERSION,
        description=_DESCRIPTION,
        license_info={"name": "MIT"},
        openapi_tags=[{"name": each.name, "description": about(each)} for each in service.predictors]
        + [{"name": "service", "description": "Whether it is alive and ready, which models it has, what it counts."}],
        static_url="/docs/static",  # Swagger UI and ReDoc come from here, not from somebody else's server
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[PEAK, "Retry-After", "X-Request-Id"],
    )
    for predictor in service.predictors:
        app.include_router(_model_routes(predictor, desk))
    app.include_router(_service_routes(service, desk))

    @app.get("/redoc", include_in_schema=False)
    async def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url="openapi.json",
            title=app.title,
            redoc_js_url="docs/static/redoc.standalone.js",
            redoc_favicon_url="docs/static/favicon.png",
            with_google_fonts=False,
        )

    async def no_route(request: Request, error: Exception) -> Response:
        return nothing_there(request, error, {predictor.name for predictor in service.predictors})

    app.add_exception_handler(HTTPException, no_route)
    return app


# One model


def _model_routes(predictor: Predictor, desk: Desk) -> APIRouter:
    name = predictor.name
    router = APIRouter(prefix=f"/api/{name}", tags=[name], route_class=Foreseen)
    own_shape = predictor.model.answers_out_of_scope  # then a film of another kind is no refusal

    @router.post(
        "/predict",
        operation_id=f"predict_{name}",
        summary=f"{predictor.title}: one film",
        response_model=None,
        responses=answers(model_of(name), EXAMPLES.get(name), refusals=(400, 413, *([] if own_shape else [422]), 503)),
        openapi_extra=one_film(),
    )
    async def predict(request: Request) -> JSONResponse:
        return JSONResponse(await _predict(request, predictor, desk, "predict"))

    @router.post(
        "/batch-predict",
        operation_id=f"batch_predict_{name}",
        summary=f"{predictor.title}: up to {MAX_BATCH} films",
        response_model=None,
        responses=answers(
            schema.batch_model(name, predictor.spec.labels),
            batch_example(name, predictor.spec.labels),
            refusals=(400, 413, 503),
        ),
        openapi_extra=several_films(),
    )
    async def batch_predict(request: Request) -> JSONResponse:
        desk.turn_away_if_full(predictor, "rest", client_of(request.scope))
        async with films_of(request, (BATCH_FIELD,), MAX_BATCH) as films:
            return JSONResponse(await desk.ask_batch(_question(request, "batch-predict", predictor, films)))

    @router.post(
        "/heatmap",
        operation_id=f"heatmap_{name}",
        summary=f"{predictor.title}: where the network saw its evidence",
        response_model=None,
        responses=answers_picture(refusals=(400, 413, 422, 503)),
        openapi_extra=one_film(),
    )
    async def heatmap(request: Request) -> Response:
        def drawn(source: Source, filename: str) -> tuple[bytes, Answer]:
            picture, about = predictor.heatmap(source, filename)
            return _png(picture), about

        desk.turn_away_if_full(predictor, "rest", client_of(request.scope))
        async with films_of(request, FIELDS, 1) as films:
            picture, about = await desk.ask(_question(request, "heatmap", predictor, films), drawn)
        x, y = about["peak"]
        return Response(picture, media_type="image/png", headers={PEAK: f"{x},{y}"})

    @router.get(
        "/health",
        operation_id=f"health_{name}",
        summary=f"{predictor.title}: whether it can answer",
        response_model=None,
        responses=answers(schema.Health),
    )
    async def health() -> JSONResponse:
        return JSONResponse(_health(f"{predictor.title} API", predictor.spec.version, predictor.status))

    return router


async def _predict(request: Request, predictor: Predictor, desk: Desk, route: str) -> Answer:
    desk.turn_away_if_full(predictor, "rest", client_of(request.scope))  # before a byte of the film is read
    async with films_of(request, FIELDS, 1) as films:
        return await desk.ask(_question(request, route, predictor, films), predictor.predict)


def _question(request: Request, route: str, predictor: Predictor, films: list[Film]) -> Question:
    async def still_there() -> bool:
        return not await request.is_disconnected()

    key, client = request.headers.get(KEY, ""), client_of(request.scope)
    return Question("rest", route, predictor, films, key, still_there, client)


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    with stage(ENCODE):
        picture.save(stream, "PNG", compress_level=4)
    return stream.getvalue()


# The whole service


def _service_routes(service: Service, desk: Desk) -> APIRouter:
    router = APIRouter(tags=["service"], route_class=Foreseen)

    @router.post(
        "/run/predict",
        operation_id="run_predict",
        summary=f"{service[RUN_PREDICT].title}, in the shape of the address that it was first published at",
        response_model=None,
        responses=answers(schema.RunPredictAnswer, {"data": [EXAMPLES[RUN_PREDICT]]}, refusals=(400, 413, 422, 503)),
        openapi_extra=one_film(),
    )
    async def run_predict(request: Request) -> JSONResponse:
        return JSONResponse({"data": [await _predict(request, service[RUN_PREDICT], desk, "run/predict")]})

    @router.get(
        "/health",
        operation_id="health",
        summary="Whether the service is alive",
        response_model=None,
        responses=answers(schema.Health),
    )
    async def health() -> JSONResponse:
        statuses = set(service.statuses().values())
        status: Status = "error" if "error" in statuses else "loading" if "loading" in statuses else "loaded"
        return JSONResponse(_health("Second Look", VERSION, status))

    @router.get(
        "/ready",
        operation_id="ready",
        summary="Whether every model has answered a warm-up image",
        response_model=None,
        responses=answers(schema.Ready) | not_ready(),
    )
    async def ready() -> JSONResponse:
        statuses = service.statuses()
        if service.ready:
            return JSONResponse({"status": "ready", "models": statuses})
        return _not_ready(statuses)

    @router.get(
        "/models",
        operation_id="models",
        summary="Every model: its classes, its threshold, its weights and the figures of its card",
        response_model=None,
        responses=answers(list[schema.ModelEntry]),
    )
    async def models() -> JSONResponse:
        return JSONResponse([_entry(predictor) for predictor in service.predictors])

    @router.get(
        "/metrics",
        operation_id="metrics",
        summary="What the service counts",
        response_model=None,
        responses=answers_text(),
    )
    async def metrics() -> Response:
        return Response(desk.metrics.text(), media_type=CONTENT_TYPE)

    return router


def _health(service: str, version: str, status: Status) -> Answer:
    return {"status": "healthy", "service": service, "version": version, "model_status": status}


def _not_ready(statuses: dict[str, Status]) -> JSONResponse:
    """Says which models are loading, or which cannot be loaded and will not be without a person's help."""
    broken = [name for name, status in statuses.items() if status == "error"]
    waiting = [name for name, status in statuses.items() if status == "loading"]
    sentence = (
        f"Could not be loaded: {', '.join(broken)}; see the log of the service."
        if broken
        else f"Still loading: {', '.join(waiting)}; try again in a few seconds."
    )
    return told_by_http(ModelLoading(sentence), models=statuses)


def _entry(predictor: Predictor) -> Answer:
    spec = predictor.spec
    return {
        "name": predictor.name,
        "title": predictor.title,
        "question": predictor.question,
        "classes": spec.labels,
        "version": spec.version,
        "sha256": spec.weights.sha256,
        "threshold": spec.threshold,
        "input_size": spec.input.size,
        "metrics": spec.metrics,
    }
