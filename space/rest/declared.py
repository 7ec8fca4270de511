"""What a REST route's entry in the OpenAPI document says: what it takes, what it answers, how it refuses."""

from typing import Any

from pydantic import BaseModel

from predictors import errors
from predictors.errors import SecondLookError
from predictors.predictor import MAX_BATCH, Predictor
from predictors.scope import SEEN_AS
from space.rest import schema
from space.rest.forms import BATCH_FIELD, FIELDS

KEY = "Idempotency-Key"
PEAK = "X-Heatmap-Peak"

Responses = dict[int | str, dict[str, Any]]


def about(predictor: Predictor) -> str:
    """A model's tag: its question, and the films that it takes."""
    kind = SEEN_AS.get(predictor.spec.scope or "", "a radiograph")
    return f"{predictor.question} Send {kind}."


# What a route takes


def one_film() -> dict[str, Any]:
    """A form with one file, under any of three names."""
    film = {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP, TIFF, BMP or DICOM, up to 20 MB"}
    others = {"type": "string", "format": "binary", "description": f"The same as {FIELDS[0]}"}
    fields = {name: film if name == FIELDS[0] else others for name in FIELDS}
    return _takes({"properties": fields, "anyOf": [{"required": [name]} for name in FIELDS]})


def several_films() -> dict[str, Any]:
    """A form with one field, repeated once a file."""
    items = {"type": "string", "format": "binary"}
    films = {"type": "array", "items": items, "minItems": 1, "maxItems": MAX_BATCH}
    return _takes({"properties": {BATCH_FIELD: films}, "required": [BATCH_FIELD]})


def _takes(form: dict[str, Any]) -> dict[str, Any]:
    key = {
        "name": KEY,
        "in": "header",
        "schema": {"type": "string"},
        "description": "A fresh UUID for every question, the same each time that question is sent again: within two "
        "minutes the same film gets the stored answer, and no network is asked twice.",
    }
    body = {"required": True, "content": {"multipart/form-data": {"schema": {"type": "object", **form}}}}
    return {"parameters": [key], "requestBody": body}


# What it answers


def answers(model: Any, example: Any = None, *, refusals: tuple[int, ...] = ()) -> Responses:
    """A JSON answer of the type ``model``, and the refusals that go with these statuses; 500 always does."""
    declared: dict[str, Any] = {"model": model, "description": "The answer"}
    if example is not None:
        declared["content"] = {"application/json": {"example": example}}
    return {200: declared, **_refusals(*refusals)}


def answers_picture(*, refusals: tuple[int, ...]) -> Responses:
    """The heat map over the film, and where it peaks."""
    peak = {
        "description": "Where the map peaks: x from the left and y from the top, as fractions of the film as shown.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^(0(\.\d{1,4})?|1(\.0)?),(0(\.\d{1,4})?|1(\.0)?)$"},
        "example": "0.4123,0.6305",
    }
    picture = {"image/png": {"schema": {"type": "string", "format": "binary"}}}
    declared = {"description": "The film with its heat map", "headers": {PEAK: peak}, "content": picture}
    return {200: declared, **_refusals(*refusals)}


def answers_text() -> Responses:
    """Prometheus' text format."""
    declared = {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {200: declared, **_refusals()}


def not_ready() -> Responses:
    """503 until every model has answered."""
    return {503: {"model": schema.NotReady, "description": "Not every model can answer yet", "headers": _RETRY_AFTER}}


_RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait at least", "required": True, "schema": {"type": "string"}}
}
_REQUEST_ID = {
    "X-Request-Id": {"description": "As in the body", "required": True, "schema": {"type": "string"}},
}


def _refusals(*statuses: int) -> Responses:
    declared: Responses = {}
    for status in (*statuses, errors.InternalError.status):
        codes = sorted({error.code for error in _leaves(SecondLookError) if error.status == status})
        fault = status == errors.InternalError.status
        declared[status] = {
            "model": schema.InternalFault if fault else schema.Error,
            "description": " or ".join(f"`{code}`" for code in codes),
        }
        if fault or status == errors.Busy.status:
            declared[status]["headers"] = _REQUEST_ID if fault else _RETRY_AFTER
    return declared


def _leaves(kind: type[SecondLookError]) -> list[type[SecondLookError]]:
    below = kind.__subclasses__()
    return [leaf for each in below for leaf in _leaves(each)] if below else [kind]


def model_of(name: str) -> type[BaseModel]:
    """The type of one model's answer."""
    return schema.ANSWERS.get(name, schema.AnyAnswer)
