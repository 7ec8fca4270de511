"""The "About the models" page: every figure on it is read from a model's own spec and card."""

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from predictors.predictor import Predictor
from predictors.spec import ModelSpec
from space.page.words import words

CARD_FILE = "card.md"


def overview_html(predictor: Predictor) -> str:
    """What the model was trained on, how it decides, and its figures with how they were measured."""
    spec = predictor.spec
    data = "".join(f"<li>{escape(source)}</li>" for source in spec.data)
    return (
        f'<section class="sl-about"><h3>{escape(spec.title)}</h3><p>{escape(predictor.question)}</p><div>'
        f"<div><dl>{_facts(spec)}</dl><h4>Trained on</h4><ul>{data}</ul></div>"
        f"<div>{''.join(_figures(name, value) for name, value in spec.metrics.items())}</div></div></section>"
    )


def card(predictor: Predictor) -> str | None:
    """The model's card as Markdown that fits under this page's headings; None if it has none."""
    file = predictor.folder / CARD_FILE
    if not file.is_file():
        return None
    text = file.read_text(encoding="utf-8")
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)  # the Hub's front matter
    text = re.sub(r"^!\[.*?\]\(.*?\)\n?", "", text, flags=re.MULTILINE)  # pictures that lie in its folder
    return re.sub(r"^(#{1,3}) ", r"###\1 ", text, flags=re.MULTILINE)


def _facts(spec: ModelSpec) -> str:
    label = words(spec.positive).of
    judged = "the larger probability" if spec.decides_by_confidence else f"the probability of {label}"
    facts = {
        "Labels": ", ".join(spec.labels),
        "Network": f"{spec.architecture} ({spec.framework}), input {spec.input.size} × {spec.input.size}",
        "Threshold": f"{spec.threshold:g} on {judged}: {spec.threshold_rule.removeprefix('confidence: ')}",
        "Version": spec.version,
        "Licence": spec.licence,
    }
    return "".join(f"<div><dt>{term}</dt><dd>{escape(value)}</dd></div>" for term, value in facts.items() if value)


def _figures(name: str, value: Any) -> str:
    """One set of figures (say, those of the validation films) as a table, whatever it holds."""
    if not isinstance(value, Mapping):
        return ""  # a figure of the conversion, not of the model's skill; its card has it
    rows = "".join(
        f'<tr><th scope="row">{escape(label)}</th><td>{escape(shown)}</td></tr>' for label, shown in _rows(value)
    )
    films = f"films new to both, beside {value['with']}" if "with" in value else f"the {_said(name)} films"
    return (
        f'<div class="sl-scroll" role="group" aria-label="Figures, {escape(_said(name))}" tabindex="0"><table>'
        f"<caption>Measured on {escape(films)} (95 % intervals over groups)</caption>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _rows(figures: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    for key, value in figures.items():
        if key == "with" or key.endswith("_95") or key.startswith(_IN_THE_CARD) or value in (None, {}):
            continue
        label = f"{within}: {_said(key)}" if within else _said(key)
        if isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):
            yield from _rows(value, label)
        elif isinstance(value, Mapping):
            yield label, ", ".join(f"{said} {shown}" for said, shown in _rows(value))
        else:
            interval = figures.get(f"{key}_95")
            yield label, _shown(value) + (f" ({_shown(interval)})" if interval else "")


_IN_THE_CARD = ("errors_by_", "auroc_by_age", "auroc_by_finding", "auroc_by_subtype", "auroc_by_label_quality")
"""Tables that only the card shows."""

_TERMS = {
    "auroc": "AUROC",
    "ece": "expected calibration error",
    "ece by chance": "the same by chance, were every probability exactly right",
    "groups": "groups (patients, or originals with their copies)",
    "positive": "films of the positive label",
}


def _said(key: str) -> str:
    plain = key.replace("_", " ")
    return _TERMS.get(plain, plain.replace("auroc", "AUROC")) or "not stated"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " to ".join(_shown(each) for each in value)
    return str(value)
