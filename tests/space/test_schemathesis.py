"""The running service against its own OpenAPI document: what is declared is answered, and nothing else."""

import json

import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import negative_data_rejection

from tests.drawings import encoded
from tests.films import FILMS
from tests.running import ROOT, Space

schemathesis.openapi.format("binary", st.sampled_from([encoded(draw(240, 320), "PNG") for draw in FILMS.values()]))

RULES = {
    "generation": {"mode": "all", "max-examples": 4, "deterministic": True},
    # A form can be as declared and hold a film of another kind.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "422"]}},
}

api = schemathesis.openapi.from_dict(
    json.loads((ROOT / "clients" / "openapi.json").read_text(encoding="utf-8")),
    config=SchemathesisConfig.from_dict(RULES),
)


@api.parametrize()
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_the_service_answers_as_its_document_says(case: schemathesis.Case, space: Space) -> None:
    # The film comes under one of three names, and a form that is broken for one of them may be right by another.
    named = isinstance(case.body, dict) and bool({"file", "image", "data"} & case.body.keys())
    excluded = [negative_data_rejection] if named else []
    case.call_and_validate(base_url=space.url, timeout=60, excluded_checks=excluded)
