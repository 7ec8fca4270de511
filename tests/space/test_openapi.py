"""The OpenAPI document: kept in the repository, true to the code, and its examples true to it."""

import json
import subprocess
import sys
from typing import Any, get_args

import httpx
import pytest

from predictors.errors import SecondLookError
from predictors.registry import Service
from space.http.addresses import FIRST_SEGMENTS
from space.rest import schema
from space.rest.examples import EXAMPLES, batch_example
from tests.running import ROOT, Space

FILE = ROOT / "clients" / "openapi.json"
MODELS = ("bone_fracture", "fracture_detection", "fracture_type", "breast_cancer", "pneumonia")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text(encoding="utf-8")))


def test_the_file_is_what_the_command_prints_and_no_framework_is_loaded_for_it() -> None:
    program = (
        "import runpy, sys; runpy.run_module('space.rest.openapi', run_name='__main__');"
        "sys.exit(str([n for n in ('tensorflow', 'keras', 'torch') if n in sys.modules] or ''))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""
    assert done.stdout == FILE.read_text(encoding="utf-8"), "run: python -m space.rest.openapi > clients/openapi.json"


def test_the_file_is_what_the_service_answers(space: Space, document: dict[str, Any]) -> None:
    assert httpx.get(f"{space.url}/openapi.json").json() == document


def test_the_addresses_are_those_of_the_contract(document: dict[str, Any]) -> None:
    each = {"predict": "post", "batch-predict": "post", "heatmap": "post", "health": "get"}
    expected = {f"/api/{name}/{route}": method for name in MODELS for route, method in each.items()}
    expected |= dict.fromkeys(("/health", "/ready", "/models", "/metrics"), "get") | {"/run/predict": "post"}
    assert {path: list(methods) for path, methods in document["paths"].items()} == {
        path: [method] for path, method in expected.items()
    }
    assert {path.split("/")[1] for path in expected} < FIRST_SEGMENTS


def test_operations_are_named_as_functions_are(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert "predict_bone_fracture" in names
    assert all(name.isidentifier() for name in names)
    assert len(set(names)) == len(names)


def test_every_refusal_is_declared_in_the_contracts_shape(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if status != "200":
                    kind = response["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
                    assert kind in ("Error", "NotReady", "InternalFault")
                assert (status == "503") == ("Retry-After" in response.get("headers", {}))
    assert not {"HTTPValidationError", "ValidationError"} & set(document["components"]["schemas"])


def test_the_codes_are_those_of_the_error_tree() -> None:
    def leaves(kind: type[SecondLookError]) -> list[type[SecondLookError]]:
        return [leaf for each in kind.__subclasses__() for leaf in leaves(each)] or [kind]

    assert set(get_args(schema.Code)) == {error.code for error in leaves(SecondLookError)}


def test_every_model_has_a_type_and_an_example_that_is_of_it() -> None:
    for predictor in Service.open(ROOT / "weights").predictors:
        name, labels = predictor.name, predictor.spec.labels
        schema.ANSWERS[name].model_validate(EXAMPLES[name], strict=True)
        schema.batch_model(name, labels).model_validate(batch_example(name, labels), strict=True)


@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_the_documentation_pages_load_nothing_from_elsewhere(space: Space, page: str) -> None:
    reply = httpx.get(f"{space.url}/{page}")
    assert reply.is_success
    assert "https://" not in reply.text
    for script in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js"):
        if script in reply.text:
            assert httpx.get(f"{space.url}/docs/static/{script}").is_success
