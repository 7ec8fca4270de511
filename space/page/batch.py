"""Several films in one go: the batch answer as a table, and as a CSV file that never touches our disk."""

import base64
import csv
import io
from html import escape

from predictors.finding import Answer

# A spreadsheet runs a cell that starts like this as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def batch_csv(answer: Answer) -> str:
    """One row a file; probabilities in percent, as in the JSON."""
    labels = _labels(answer)
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["file", "prediction", "confidence", *(f"{label}_percent" for label in labels), "error"])
    for row in answer["results"]:
        percents = [row.get("probabilities", {}).get(label, "") for label in labels]
        cells = [row["filename"], row.get("prediction", ""), row.get("confidence", ""), *percents]
        writer.writerow([_harmless(cell) for cell in [*cells, row.get("error", "")]])
    return stream.getvalue()


def batch_html(answer: Answer, name: str) -> str:
    """The table, its summary in words, and the link to the CSV file."""
    labels = _labels(answer)
    heads = ["File", "Prediction", "Confidence", *(f"{label.capitalize()} %" for label in labels)]
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in heads)
    body = "".join(_row(row, labels) for row in answer["results"])
    # Excel takes a CSV file for UTF-8 only if it starts with a byte order mark.
    data = base64.b64encode(batch_csv(answer).encode("utf-8-sig")).decode()
    return (
        f'<section class="sl-batch"><p>{_summary(answer)}</p>'
        f'<div class="sl-scroll" role="region" aria-label="Answers by file" tabindex="0">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<a class="sl-download" download="second-look-{escape(name)}.csv" '
        f'href="data:text/csv;charset=utf-8;base64,{data}">Download as CSV</a></section>'
    )


def _labels(answer: Answer) -> list[str]:
    return next((list(row["probabilities"]) for row in answer["results"] if "probabilities" in row), [])


def _row(row: Answer, labels: list[str]) -> str:
    name = f'<th scope="row">{escape(row["filename"] or "(no name)")}</th>'
    if "error" in row:
        return f'<tr class="sl-failed">{name}<td colspan="{2 + len(labels)}">{escape(row["error"])}</td></tr>'
    percents = "".join(f"<td>{row['probabilities'][label]:.2f}</td>" for label in labels)
    return f"<tr>{name}<td>{escape(row['prediction'])}</td><td>{row['confidence']:.4f}</td>{percents}</tr>"


def _summary(answer: Answer) -> str:
    counts = ", ".join(f"{count} {escape(label)}" for label, count in answer["summary"].items())
    failed = f"; {answer['failed']} could not be answered" if answer["failed"] else ""
    return f"{answer['successful']} of {answer['total_images']} films answered: {counts}{failed}."


def _harmless(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
