"""A finding, or a refusal, as the HTML that a person reads. Everything a sender wrote is escaped."""

import base64
from html import escape
from io import BytesIO
from typing import Any

from PIL import Image

from predictors import heatmap
from predictors.finding import DISCLAIMER, Answer, Finding
from predictors.image import Radiograph
from predictors.scope import SEEN_AS
from space.page.words import Words, figure, words

OPACITY = 45
"""Of the heat map when it is first shown, in percent."""

WAITING = '<p class="sl-waiting">The answer will appear here.</p>'


def finding_html(finding: Finding, answer: Answer, opinion: Finding | None = None) -> str:
    """The film with its heat map, and the answer in words; ``answer`` is the finding's JSON.

    ``opinion`` is what a second reader finds on the same film.
    """
    return f'<div class="sl-result">{_picture(finding)}{_verdict(finding, answer, opinion)}</div>'


def refusal_html(sentence: str, filename: str = "", film: Radiograph | None = None) -> str:
    """Why there is no answer, with the film if it could be read at all."""
    shown = ""
    if film is not None:
        picture = film.preview()
        picture.thumbnail((heatmap.LONGEST_SIDE,) * 2)
        shown = f'<figure class="sl-film">{_image(picture, "The picture as it was read.")}</figure>'
    name = f'<p class="sl-file">{escape(filename)}</p>' if filename else ""
    return (
        f'<div class="sl-result">{shown}<section class="sl-verdict sl-refused">'
        f"<h3>No answer for this file</h3><p>{escape(sentence)}</p>{name}</section></div>"
    )


# The film


def _picture(finding: Finding) -> str:
    film = _image(heatmap.film_layer(finding), "The film as it was read.")
    if not finding.in_scope:
        return f'<figure class="sl-film">{film}</figure>'
    x, y = heatmap.peak(finding)
    strongest = figure(float(finding.heat.max()))
    of = escape(words(heatmap.spoken_label(finding)).of)
    heat = _image(heatmap.heat_layer(finding), f"Heat map of the evidence for {of}.", "sl-heat", "PNG")
    slider = f"opacity-{finding.spec.name}"
    return (
        f'<figure class="sl-film" style="--sl-opacity: {OPACITY / 100}">'
        f'<div class="sl-stack">{film}{heat}</div>'
        f'<div class="sl-opacity"><label for="{slider}">Heat map opacity</label>'
        f'<input id="{slider}" type="range" min="0" max="100" step="5" value="{OPACITY}">'
        f'<output for="{slider}">{OPACITY}&#8239;%</output></div>'
        f'<figcaption><span class="sl-scale" aria-hidden="true"></span> weak to strong evidence for {of}. '
        f"The ring marks the strongest ({strongest} of 1), {x:.0%} across and {y:.0%} down.</figcaption></figure>"
    )


def _image(picture: Image.Image, alt: str, css: str = "", file_format: str = "JPEG") -> str:
    stream = BytesIO()
    if file_format == "JPEG":
        picture.save(stream, "JPEG", quality=90)
    else:
        picture.save(stream, file_format, compress_level=4)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img class="{css}" alt="{escape(alt)}" src="data:image/{file_format.lower()};base64,{data}">'


# The answer


def _verdict(finding: Finding, answer: Answer, opinion: Finding | None) -> str:
    parts = [
        _headline(finding, answer),
        *(_bar(finding, label) for label in _barred(finding)),
        _sentence(finding),
        _badge(answer),
        _second(finding, opinion) if opinion else "",
        _details(finding, answer),
        f'<p class="sl-caution">{escape(DISCLAIMER)}</p>',
    ]
    return f'<section class="sl-verdict">{"".join(parts)}</section>'


def _answered(finding: Finding, answer: Answer) -> bool:
    return finding.in_scope and answer.get("success", 1) == 1


def _headline(finding: Finding, answer: Answer) -> str:
    if _answered(finding, answer):
        flag = " sl-flag" if finding.label == finding.spec.positive else ""
        return (
            f'<p class="sl-kicker">Answer</p><h3 class="sl-answer{flag}">{escape(words(finding.label).headline)}</h3>'
        )
    if finding.in_scope:
        title, why = "Not sure", "Neither label is probable enough to be named."
    else:
        seen_as = SEEN_AS.get(finding.spec.scope or "", "a film of that kind")
        title, why = "Not a film that this model reads", f"This does not look like {seen_as}."
    message = answer.get("message")
    said = f'<p lang="es">{escape(str(message))}</p>' if message else ""
    return f'<p class="sl-kicker">No answer</p><h3 class="sl-answer sl-unsure">{title}</h3><p>{why}</p>{said}'


def _barred(finding: Finding) -> list[str]:
    return list(finding.spec.labels) if finding.spec.decides_by_confidence else [finding.spec.positive]


def _bar(finding: Finding, label: str) -> str:
    value, threshold = finding.probabilities[label], finding.spec.threshold
    shown = figure(value, beside=threshold)
    return (
        f'<div class="sl-bar"><div class="sl-bar-words"><span>Probability of {escape(words(label).of)}</span>'
        f"<strong>{shown}</strong></div>"
        f'<div class="sl-track" role="img" aria-label="{shown} on a scale from 0 to 1, '
        f'threshold at {figure(threshold)}"><span class="sl-fill" style="width: {value:.2%}"></span>'
        f'<span class="sl-threshold" style="left: {threshold:.2%}"></span></div></div>'
    )


def _sentence(finding: Finding) -> str:
    """Probability and threshold, said in words."""
    spec = finding.spec
    threshold = figure(spec.threshold)
    if spec.decides_by_confidence:
        said = (
            f"A label is named from a probability of {threshold} on; below that, neither is sure enough. "
            f'<span lang="es">Se nombra una clase a partir de una probabilidad de {threshold}.</span>'
        )
    else:
        positive: Words = words(spec.positive)
        probability = figure(finding.positive, beside=spec.threshold)
        said = (
            f"Probability of {escape(positive.of)} {probability}; "
            f"called {escape(positive.called)} from {threshold} on (the mark on the bar)."
        )
    return f'<p class="sl-said">{said}</p>'


def _badge(answer: Answer) -> str:
    risk = answer.get("risk_assessment")
    if not risk:
        return ""
    return (
        f'<p class="sl-risk" style="--sl-risk: {escape(risk["color"])}">'
        f'<span aria-hidden="true">{escape(risk["icon"])}</span> {escape(risk["level"])}</p>'
    )


def _second(finding: Finding, opinion: Finding) -> str:
    """What the second reader says, and whether the two agree."""
    spec = opinion.spec
    agree = (finding.label == finding.spec.positive) == (opinion.label == spec.positive)
    said = "The two readers agree." if agree else "The two readers disagree: look again."
    positive = words(spec.positive)
    probability = figure(opinion.positive, beside=spec.threshold)
    figures = (
        f"{escape(spec.title)}: probability of {escape(positive.of)} {probability}; "
        f"called {escape(positive.called)} from {figure(spec.threshold)} on."
    )
    known = finding.spec.metrics.get("agreement", {}).get("disagree")
    often = f" They disagree on {known:.0%} of the films that are new to both." if known is not None else ""
    return f'<p class="sl-second{"" if agree else " sl-apart"}"><strong>{said}</strong> {figures}{often}</p>'


def _details(finding: Finding, answer: Answer) -> str:
    film, spec = finding.film, finding.spec
    rows: list[tuple[str, Any]] = [
        ("File", finding.filename),
        ("Film", f"{film.width} × {film.height}, {film.format}"),
    ]
    if finding.inverted:
        rows.append(("Grey levels", "inverted in the file, read the right way round"))
    if statistics := answer.get("image_statistics"):
        rows.append(("Brightness", f"{statistics['brightness']} % (mean {statistics['mean_intensity']} of 255)"))
        rows.append(("Contrast", f"{statistics['contrast']} % (deviation {statistics['std_intensity']})"))
    if spec.scope:
        rows.append(("Kind of film", f"{SEEN_AS[spec.scope]}: {figure(finding.scope_score)}"))
    rows.append(("Model", f"{spec.name} {spec.version}, {finding.elapsed_ms:.0f} ms"))
    cells = "".join(f"<div><dt>{term}</dt><dd>{escape(str(value))}</dd></div>" for term, value in rows if value)
    return f'<dl class="sl-details">{cells}</dl>'
