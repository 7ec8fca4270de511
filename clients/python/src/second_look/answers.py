# Made from ../openapi.json by datamodel-codegen; run it in clients/python. Do not edit.
# ruff: noqa

from __future__ import annotations

from typing import Any, Literal, TypeAlias, TypedDict


class BatchFailure(TypedDict):
    """A file that could not be answered, and why, in one sentence."""

    filename: str
    error: str


class BoneFractureSummary(TypedDict):
    """Decisions by label."""

    fracture: int
    normal: int


class BreastCancerSummary(TypedDict):
    """Decisions by label."""

    benign: int
    malignant: int


class BreastProbabilities(TypedDict):
    """In percent; they sum to 100."""

    benign: float
    """0..100, rounded to 2 decimals"""

    malignant: float
    """0..100, rounded to 2 decimals"""


class Error(TypedDict):
    """One plain sentence for people, and a code for programs."""

    detail: str
    code: Literal[
        "missing_file",
        "too_many_files",
        "empty_file",
        "unsupported_image",
        "corrupt_image",
        "file_too_large",
        "image_too_large",
        "out_of_scope",
        "unknown_model",
        "not_found",
        "method_not_allowed",
        "model_loading",
        "busy",
        "internal_error",
    ]


FractureClassProbability = TypedDict(
    "FractureClassProbability",
    {
        "class": Literal["fisura", "fractura"],
        "probability": float,
    },
)


FractureDetectionSummary = TypedDict(
    "FractureDetectionSummary",
    {
        "fractured": int,
        "not fractured": int,
    },
)


class FractureTypeSummary(TypedDict):
    """Decisions by label."""

    fisura: int
    fractura: int


FracturedProbabilities = TypedDict(
    "FracturedProbabilities",
    {
        "fractured": float,
        "not fractured": float,
    },
)


class Health(TypedDict):
    """Alive, and whether the model (or each of them) can answer."""

    status: Literal["healthy"]
    service: str
    version: str
    model_status: Literal["loading", "loaded", "error"]


class ImageInfo(TypedDict):
    """The film as it was read."""

    filename: str
    size: str
    """width x height in pixels"""

    format: Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP", "DICOM"]


class ImageStatistics(TypedDict):
    """Mean and standard deviation of the 8-bit grey film, as they are and in percent of 255."""

    brightness: float
    contrast: float
    mean_intensity: float
    std_intensity: float


class InternalFault(TypedDict):
    """Something that we did not foresee; the id finds it in the log."""

    detail: str
    code: Literal[
        "missing_file",
        "too_many_files",
        "empty_file",
        "unsupported_image",
        "corrupt_image",
        "file_too_large",
        "image_too_large",
        "out_of_scope",
        "unknown_model",
        "not_found",
        "method_not_allowed",
        "model_loading",
        "busy",
        "internal_error",
    ]
    request_id: str


class Meta(TypedDict):
    """What is ours beside the answer: which network spoke, how it decides, and whether the film is of its kind."""

    model: str
    version: str
    sha256: str
    """SHA-256 of the weights file of record"""

    threshold: float
    """the decision falls on the printed probability against this"""

    in_scope: bool
    """whether the film is of the kind that this model reads"""

    scope_score: float
    """probability that the film is of that kind"""

    elapsed_ms: float
    """time from the file to the answer, in milliseconds"""

    disclaimer: str


class ModelEntry(TypedDict):
    """One model: what it is called, how it decides, and the figures of its card."""

    name: str
    title: str
    question: str
    classes: list[str]
    """in the network's own order"""

    version: str
    sha256: str
    """SHA-256 of the weights file of record"""

    threshold: float
    """0..1, rounded to 4 decimals"""

    input_size: int
    """side of the network's square input, in pixels"""

    metrics: dict[str, Any]


class NotReady(TypedDict):
    """Which models are still loading, or cannot be loaded."""

    detail: str
    code: Literal[
        "missing_file",
        "too_many_files",
        "empty_file",
        "unsupported_image",
        "corrupt_image",
        "file_too_large",
        "image_too_large",
        "out_of_scope",
        "unknown_model",
        "not_found",
        "method_not_allowed",
        "model_loading",
        "busy",
        "internal_error",
    ]
    models: dict[str, Literal["loading", "loaded", "error"]]


class PneumoniaProbabilities(TypedDict):
    """They sum to 1."""

    Normal: float
    """0..1, rounded to 4 decimals"""

    Pneumonia: float
    """0..1, rounded to 4 decimals"""


class PneumoniaRow(TypedDict):
    """One film."""

    prediction: Literal["Normal", "Pneumonia"]
    confidence: float
    """the probability of the prediction"""

    probabilities: PneumoniaProbabilities
    meta: Meta
    filename: str


class PneumoniaSummary(TypedDict):
    """Decisions by label."""

    Normal: int
    Pneumonia: int


class Ready(TypedDict):
    """Every model has answered a warm-up image."""

    status: Literal["ready"]
    models: dict[str, Literal["loading", "loaded", "error"]]


class RiskAssessment(TypedDict):
    """A step of the risk scale."""

    level: Literal[
        "Very High Risk",
        "High Risk",
        "Moderate-High Risk",
        "Moderate Risk",
        "Low-Moderate Risk",
        "Low Risk",
        "Very Low Risk",
    ]
    icon: str
    color: str


class BoneFractureAnswer(TypedDict):
    """Is there a fracture? The two probabilities sum to 1."""

    predicted_label: Literal["fracture", "normal"]
    fracture_probability: float
    """0..1, rounded to 4 decimals"""

    normal_probability: float
    """0..1, rounded to 4 decimals"""

    meta: Meta


class BoneFractureRow(TypedDict):
    """One film."""

    predicted_label: Literal["fracture", "normal"]
    fracture_probability: float
    """0..1, rounded to 4 decimals"""

    normal_probability: float
    """0..1, rounded to 4 decimals"""

    meta: Meta
    filename: str


class BreastCancerAnswer(TypedDict):
    """How likely is a malignant lesion on this mammogram?"""

    prediction: Literal["Benign", "Malignant"]
    confidence: float
    """the probability of the prediction"""

    probabilities: BreastProbabilities
    risk_assessment: RiskAssessment
    image_statistics: ImageStatistics
    image_info: ImageInfo
    disclaimer: str
    meta: Meta


class BreastCancerRow(TypedDict):
    """One film."""

    prediction: Literal["Benign", "Malignant"]
    confidence: float
    """the probability of the prediction"""

    probabilities: BreastProbabilities
    filename: str


class FractureDetectionAnswer(TypedDict):
    """Is there a fracture? The second reader."""

    prediction: Literal["fractured", "not fractured"]
    confidence: float
    """the probability of the prediction"""

    probabilities: FracturedProbabilities
    meta: Meta


class FractureDetectionRow(TypedDict):
    """One film."""

    prediction: Literal["fractured", "not fractured"]
    confidence: float
    """the probability of the prediction"""

    probabilities: FracturedProbabilities
    meta: Meta
    filename: str


class FractureTypeKnown(TypedDict):
    """Fissure or complete fracture: sure enough to say which."""

    confidence: float
    """the larger probability"""

    allProbabilities: list[FractureClassProbability]
    meta: Meta
    success: Literal[1]
    predictedClass: Literal["fisura", "fractura"]


class FractureTypeKnownRow(TypedDict):
    """One film."""

    confidence: float
    """the larger probability"""

    allProbabilities: list[FractureClassProbability]
    meta: Meta
    success: Literal[1]
    predictedClass: Literal["fisura", "fractura"]
    filename: str


class FractureTypeUnknown(TypedDict):
    """Not sure enough (confidence under the threshold), or not a film of the kind that the model reads."""

    confidence: float
    """the larger probability"""

    allProbabilities: list[FractureClassProbability]
    meta: Meta
    success: Literal[0]
    message: str


class FractureTypeUnknownRow(TypedDict):
    """One film."""

    confidence: float
    """the larger probability"""

    allProbabilities: list[FractureClassProbability]
    meta: Meta
    success: Literal[0]
    message: str
    filename: str


class PneumoniaAnswer(TypedDict):
    """Does this chest film show pneumonia?"""

    prediction: Literal["Normal", "Pneumonia"]
    confidence: float
    """the probability of the prediction"""

    probabilities: PneumoniaProbabilities
    meta: Meta


class PneumoniaBatch(TypedDict):
    """Up to ten films, in the order sent; a bad one never fails the others."""

    total_images: int
    successful: int
    failed: int
    summary: PneumoniaSummary
    results: list[BatchFailure | PneumoniaRow]


class RunPredictAnswer(TypedDict):
    """What the first service's raw ``fetch`` callers read: the answer as the only item of ``data``."""

    data: list[BoneFractureAnswer]


class BoneFractureBatch(TypedDict):
    """Up to ten films, in the order sent; a bad one never fails the others."""

    total_images: int
    successful: int
    failed: int
    summary: BoneFractureSummary
    results: list[BatchFailure | BoneFractureRow]


class BreastCancerBatch(TypedDict):
    """Up to ten films, in the order sent; a bad one never fails the others."""

    total_images: int
    successful: int
    failed: int
    summary: BreastCancerSummary
    results: list[BatchFailure | BreastCancerRow]


class FractureDetectionBatch(TypedDict):
    """Up to ten films, in the order sent; a bad one never fails the others."""

    total_images: int
    successful: int
    failed: int
    summary: FractureDetectionSummary
    results: list[BatchFailure | FractureDetectionRow]


FractureTypeAnswer: TypeAlias = FractureTypeKnown | FractureTypeUnknown
"""Fissure or complete fracture, or neither is sure enough."""


class FractureTypeBatch(TypedDict):
    """Up to ten films, in the order sent; a bad one never fails the others."""

    total_images: int
    successful: int
    failed: int
    summary: FractureTypeSummary
    results: list[BatchFailure | FractureTypeKnownRow | FractureTypeUnknownRow]
