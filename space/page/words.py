"""How a label is said to a person. A label that is not here speaks for itself."""

from typing import NamedTuple


class Words(NamedTuple):
    """One label: as a headline, after "probability of", and after "called"."""

    headline: str
    of: str
    called: str


_WORDS = {
    "fracture": Words("Fracture", "a fracture", "a fracture"),
    "normal": Words("No fracture found", "no fracture", "no fracture"),
    "fractured": Words("Fracture", "a fracture", "a fracture"),
    "not fractured": Words("No fracture found", "no fracture", "no fracture"),
    "fisura": Words("Fisura · fissure (hairline fracture)", "fisura (fissure)", "fisura"),
    "fractura": Words("Fractura · complete fracture", "fractura (complete fracture)", "fractura"),
    "benign": Words("Benign", "a benign finding", "benign"),
    "malignant": Words("Malignant", "malignancy", "malignant"),
    "Normal": Words("No pneumonia found", "no pneumonia", "no pneumonia"),
    "Pneumonia": Words("Pneumonia", "pneumonia", "pneumonia"),
}


def words(label: str) -> Words:
    """The words for ``label``."""
    return _WORDS.get(label, Words(label, label, label))


def figure(value: float, beside: float | None = None) -> str:
    """A probability as printed: two decimals, or four where two would not tell it from the value ``beside`` it."""
    if beside is not None and value != beside and round(value, 2) == round(beside, 2):
        return f"{value:.4f}"
    return f"{value:.2f}"
