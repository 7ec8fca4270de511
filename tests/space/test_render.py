"""What a person reads: words, table and CSV, with everything a sender wrote made harmless."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from predictors.finding import Finding
from predictors.predictor import Predictor
from predictors.registry import Service, models
from space.page.about import card, overview_html
from space.page.batch import batch_csv, batch_html
from space.page.render import finding_html, refusal_html
from space.page.words import figure
from tests.drawings import encoded
from tests.films import FILMS
from tests.running import ROOT

HOSTILE = '<img src=x onerror="alert(1)">${alert(1)}{{alert(1)}}.png'


@pytest.fixture(scope="module")
def service() -> Service:
    if not (ROOT / "weights" / "scope" / "spec.json").is_file():
        pytest.skip("weights/ is not here, and these tests ask the shipped models")
    return Service.open(ROOT / "weights")


@pytest.fixture(scope="module")
def found(service: Service) -> Callable[[str], Finding]:
    def examine(name: str) -> Finding:
        predictor = service[name]
        return predictor.examine(encoded(FILMS[predictor.spec.scope](), "PNG"), "film.png")

    return examine


def shown(predictor: Predictor, finding: Finding) -> str:
    return finding_html(finding, predictor.answer(finding))


class Tags(HTMLParser):
    """Every start tag with its attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


@pytest.mark.parametrize("name", [model.name for model in models()])
def test_every_finding_can_be_shown(service: Service, found: Callable[[str], Finding], name: str) -> None:
    html = shown(service[name], found(name))
    assert "film.png" in html
    assert "Not a medical device" in html
    sources = [attributes["src"] for tag, attributes in Tags(html).seen if tag == "img"]
    assert len(sources) == 2
    assert all(str(source).startswith("data:image/") for source in sources)


@pytest.mark.parametrize(
    ("probability", "headline", "sentence"),
    [
        (0.81, "Fracture", "Probability of a fracture 0.81; called a fracture from 0.42 on"),
        (0.1, "No fracture found", "Probability of a fracture 0.10; called a fracture from 0.42 on"),
        (0.4199, "No fracture found", "Probability of a fracture 0.4199; called a fracture from 0.42 on"),
    ],
)
def test_probability_threshold_and_decision_are_said_in_words(
    service: Service, found: Callable[[str], Finding], probability: float, headline: str, sentence: str
) -> None:
    finding = found("bone_fracture")
    finding = replace(
        finding,
        spec=replace(finding.spec, threshold=0.42),
        probabilities={"fracture": probability, "normal": 1 - probability},
    )
    html = shown(service["bone_fracture"], finding)
    assert f">{headline}</h3>" in html
    assert sentence in html


def test_fracture_type_says_when_it_is_not_sure(service: Service, found: Callable[[str], Finding]) -> None:
    finding = found("fracture_type")
    unsure = replace(finding, probabilities={"fisura": 0.49, "fractura": 0.51})
    html = shown(service["fracture_type"], unsure)
    assert "Not sure" in html
    assert 'lang="es">La imagen no corresponde' in html
    sure = replace(finding, probabilities={"fisura": 0.99, "fractura": 0.01})
    assert "Fisura · fissure (hairline fracture)</h3>" in shown(service["fracture_type"], sure)


def test_fracture_type_says_what_it_does_not_read(service: Service, found: Callable[[str], Finding]) -> None:
    html = shown(service["fracture_type"], replace(found("fracture_type"), in_scope=False))
    assert "Not a film that this model reads" in html
    assert "range" not in [attributes.get("type") for _, attributes in Tags(html).seen]


def test_breast_cancer_wears_its_risk_badge(service: Service, found: Callable[[str], Finding]) -> None:
    finding = replace(found("breast_cancer"), probabilities={"benign": 0.05, "malignant": 0.95})
    html = shown(service["breast_cancer"], finding)
    assert "🔴" in html
    assert "Very High Risk" in html
    assert "#cc0000" in html


def test_file_names_are_text(service: Service, found: Callable[[str], Finding]) -> None:
    finding = replace(found("bone_fracture"), filename=HOSTILE)
    row: dict[str, Any] = {"filename": HOSTILE, "error": "no"}
    batch = {"total_images": 1, "successful": 0, "failed": 1, "summary": {}, "results": [row]}
    for html in (
        shown(service["bone_fracture"], finding),
        refusal_html("No.", HOSTILE),
        batch_html(batch, "breast_cancer"),
    ):
        assert not any("onerror" in attributes for _, attributes in Tags(html).seen)
        assert "&lt;img src=x" in html


def test_csv_has_one_row_a_file_and_runs_nothing_in_a_spreadsheet() -> None:
    good = {"prediction": "Benign", "confidence": 0.9, "probabilities": {"benign": 90.0, "malignant": 10.0}}
    names = ["film.png", "=1+1", "+1", "-1", "@SUM(A1)", "a, b\n.png"]
    answer = {"results": [*({"filename": name, **good} for name in names), {"filename": "x", "error": "Bad."}]}
    rows = list(csv.reader(io.StringIO(batch_csv(answer))))
    assert rows[0] == ["file", "prediction", "confidence", "benign_percent", "malignant_percent", "error"]
    assert [row[0] for row in rows[1:]] == ["film.png", "'=1+1", "'+1", "'-1", "'@SUM(A1)", "a, b\n.png", "x"]
    assert rows[1][1:] == ["Benign", "0.9", "90.0", "10.0", ""]
    assert rows[-1] == ["x", "", "", "", "", "Bad."]


def test_a_probability_is_never_printed_as_the_threshold_it_misses() -> None:
    assert figure(0.4249, beside=0.42) == "0.4249"
    assert figure(0.43, beside=0.42) == "0.43"
    assert figure(0.42, beside=0.42) == "0.42"


@pytest.mark.parametrize("name", [model.name for model in models()])
def test_about_quotes_the_spec_and_the_card(service: Service, name: str) -> None:
    predictor = service[name]
    html = overview_html(predictor)
    assert f"{predictor.spec.threshold:g}" in html
    assert f">{predictor.spec.metrics['validation']['films']}<" in html
    text = card(predictor)
    assert text
    assert "What it cannot do" in text
    assert not text.startswith("---")
    assert "![" not in text
    assert not any(line.startswith(("# ", "## ", "### ")) for line in text.splitlines())


def test_a_model_without_a_card_still_has_its_figures(service: Service, tmp_path: Path) -> None:
    predictor = Service.open(ROOT / "weights")["pneumonia"]
    predictor.folder = tmp_path
    assert card(predictor) is None
    assert overview_html(predictor) == overview_html(service["pneumonia"])


# Two readers


def with_probability(predictor: Predictor, finding: Finding, positive: float) -> Finding:
    labels = finding.spec.labels
    named = {label: positive if label == finding.spec.positive else 1 - positive for label in labels}
    return replace(finding, probabilities=named)


@pytest.mark.parametrize("name", ["bone_fracture", "fracture_detection"])
def test_the_second_reader_rereads_the_same_film_and_answers_as_when_asked_itself(
    service: Service, found: Callable[[str], Finding], name: str
) -> None:
    finding = found(name)
    other = service[str(service[name].model.second_reader)]
    opinion = other.reread(finding)
    assert other.name != name
    assert opinion.spec.name == other.name
    alone = found(other.name)
    assert opinion.probabilities == alone.probabilities
    assert opinion.heat.tolist() == alone.heat.tolist()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (0.9, 0.9, "The two readers agree."),
        (0.01, 0.02, "The two readers agree."),
        (0.9, 0.02, "The two readers disagree: look again."),
        (0.01, 0.9, "The two readers disagree: look again."),
    ],
)
def test_the_page_says_whether_the_two_readers_agree(
    service: Service, found: Callable[[str], Finding], first: float, second: float, said: str
) -> None:
    reader, other = service["bone_fracture"], service["fracture_detection"]
    finding = found("bone_fracture")
    opinion = with_probability(other, other.reread(finding), second)
    finding = with_probability(reader, finding, first)
    html = finding_html(finding, reader.answer(finding), opinion)
    assert said in html
    assert f"{other.title}: probability of a fracture {figure(second)};" in html
    assert ("sl-apart" in html) == (said != "The two readers agree.")
    assert "sl-second" not in finding_html(finding, reader.answer(finding))
