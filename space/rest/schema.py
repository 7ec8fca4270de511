"""Every JSON that REST answers, typed: the one source of the OpenAPI document and of the clients' types.

Routes answer the predictors' own dictionaries; tests hold those against these models.
"""

from collections.abc import Sequence
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from predictors.predictor import MAX_BATCH

Fraction = Annotated[float, Field(ge=0, le=1, description="0..1, rounded to 4 decimals")]
Percent = Annotated[float, Field(ge=0, le=100, description="0..100, rounded to 2 decimals")]
Count = Annotated[int, Field(ge=0, le=MAX_BATCH)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the weights file of record")]
Status = Literal["loading", "loaded", "error"]

Code = Literal[
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


class _Exact(BaseModel):
    """These keys and no others."""

    model_config = ConfigDict(extra="forbid")


class Meta(_Exact):
    """What is ours beside the answer: which network spoke, how it decides, and whether the film is of its kind."""

    model: str
    version: str
    sha256: Sha256
    threshold: Fraction = Field(description="the decision falls on the printed probability against this")
    in_scope: bool = Field(description="whether the film is of the kind that this model reads")
    scope_score: Fraction = Field(description="probability that the film is of that kind")
    elapsed_ms: float = Field(ge=0, description="time from the file to the answer, in milliseconds")
    disclaimer: str


# One answer a model


class BoneFractureAnswer(_Exact):
    """Is there a fracture? The two probabilities sum to 1."""

    predicted_label: Literal["fracture", "normal"]
    fracture_probability: Fraction
    normal_probability: Fraction
    meta: Meta


class FracturedProbabilities(_Exact):
    """They sum to 1."""

    fractured: Fraction
    not_fractured: Fraction = Field(alias="not fractured")


class FractureDetectionAnswer(_Exact):
    """Is there a fracture? The second reader."""

    prediction: Literal["fractured", "not fractured"]
    confidence: Fraction = Field(description="the probability of the prediction")
    probabilities: FracturedProbabilities
    meta: Meta


class FractureClassProbability(_Exact):
    """One class and its probability in percent."""

    class_: Literal["fisura", "fractura"] = Field(alias="class")
    probability: Percent


class _FractureType(_Exact):
    confidence: Percent = Field(description="the larger probability")
    allProbabilities: list[FractureClassProbability] = Field(min_length=2, max_length=2)  # noqa: N815
    meta: Meta


class FractureTypeKnown(_FractureType):
    """Fissure or complete fracture: sure enough to say which."""

    success: Literal[1]
    predictedClass: Literal["fisura", "fractura"]  # noqa: N815  # its callers' own spelling


class FractureTypeUnknown(_FractureType):
    """Not sure enough (confidence under the threshold), or not a film of the kind that the model reads."""

    success: Literal[0]
    message: str


class FractureTypeAnswer(RootModel[FractureTypeKnown | FractureTypeUnknown]):
    """Fissure or complete fracture, or neither is sure enough."""


class BreastProbabilities(_Exact):
    """In percent; they sum to 100."""

    benign: Percent
    malignant: Percent


class RiskAssessment(_Exact):
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
    color: str = Field(pattern="^#[0-9a-f]{6}$")


class ImageStatistics(_Exact):
    """Mean and standard deviation of the 8-bit grey film, as they are and in percent of 255."""

    brightness: Annotated[float, Field(ge=0, le=100)]
    contrast: Annotated[float, Field(ge=0, le=100)]
    mean_intensity: Annotated[float, Field(ge=0, le=255)]
    std_intensity: Annotated[float, Field(ge=0, le=255)]


class ImageInfo(_Exact):
    """The film as it was read."""

    filename: str
    size: str = Field(pattern="^[0-9]+x[0-9]+$", description="width x height in pixels")
    format: Literal["JPEG", "PNG", "WEBP", "TIFF", "BMP", "DICOM"]


class BreastCancerDecision(_Exact):
    """The decision on one mammogram, with its probabilities in percent."""

    prediction: Literal["Benign", "Malignant"]
    confidence: Fraction = Field(description="the probability of the prediction")
    probabilities: BreastProbabilities


class BreastCancerAnswer(BreastCancerDecision):
    """How likely is a malignant lesion on this mammogram?"""

    risk_assessment: RiskAssessment
    image_statistics: ImageStatistics
    image_info: ImageInfo
    disclaimer: str
    meta: Meta


class PneumoniaProbabilities(_Exact):
    """They sum to 1."""

    normal: Fraction = Field(alias="Normal")
    pneumonia: Fraction = Field(alias="Pneumonia")


class PneumoniaAnswer(_Exact):
    """Does this chest film show pneumonia?"""

    prediction: Literal["Normal", "Pneumonia"]
    confidence: Fraction = Field(description="the probability of the prediction")
    probabilities: PneumoniaProbabilities
    meta: Meta


class AnyAnswer(BaseModel):
    """The answer of a model that has no type of its own here yet."""

    model_config = ConfigDict(extra="allow")

    meta: Meta


ANSWERS: dict[str, type[BaseModel]] = {
    "bone_fracture": BoneFractureAnswer,
    "fracture_detection": FractureDetectionAnswer,
    "fracture_type": FractureTypeAnswer,
    "breast_cancer": BreastCancerAnswer,
    "pneumonia": PneumoniaAnswer,
}
"""By the models' names."""


class RunPredictAnswer(_Exact):
    """What the first service's raw ``fetch`` callers read: the answer as the only item of ``data``."""

    data: list[BoneFractureAnswer] = Field(min_length=1, max_length=1)


# Batches: a row is the model's answer beside the name that its file was sent under


class BatchFailure(_Exact):
    """A file that could not be answered, and why, in one sentence."""

    filename: str
    error: str


_ROWS: dict[str, tuple[type[BaseModel], ...]] = {
    "fracture_type": (FractureTypeKnown, FractureTypeUnknown),
    "breast_cancer": (BreastCancerDecision,),
}
"""What a row holds, where that is not the model's answer as it is."""


def batch_model(name: str, labels: Sequence[str]) -> type[BaseModel]:
    """The type of one model's batch answer, its summary counting every one of ``labels``."""
    title = "".join(word.capitalize() for word in name.split("_"))
    rows = _ROWS.get(name, (ANSWERS.get(name, AnyAnswer),))
    kinds = [create_model(_row_name(row), __base__=row, __doc__="One film.", filename=(str, ...)) for row in rows]
    counts: dict[str, Any] = {label.lower().replace(" ", "_"): (Count, Field(alias=label)) for label in labels}
    return create_model(
        f"{title}Batch",
        __base__=_Batch,
        __doc__="Up to ten films, in the order sent; a bad one never fails the others.",
        summary=(create_model(f"{title}Summary", __base__=_Exact, __doc__="Decisions by label.", **counts), ...),
        results=(list[reduce(or_, kinds, BatchFailure)], Field(min_length=1, max_length=MAX_BATCH)),  # type: ignore[misc]
    )


def _row_name(row: type[BaseModel]) -> str:
    return f"{row.__name__.removesuffix('Answer').removesuffix('Decision')}Row"


class _Batch(_Exact):
    total_images: Annotated[int, Field(ge=1, le=MAX_BATCH)]
    successful: Count
    failed: Count


# The service itself


class Health(_Exact):
    """Alive, and whether the model (or each of them) can answer."""

    status: Literal["healthy"]
    service: str
    version: str
    model_status: Status


class Ready(_Exact):
    """Every model has answered a warm-up image."""

    status: Literal["ready"]
    models: dict[str, Status]


class ModelEntry(_Exact):
    """One model: what it is called, how it decides, and the figures of its card."""

    name: str
    title: str
    question: str
    classes: list[str] = Field(description="in the network's own order")
    version: str
    sha256: Sha256
    threshold: Fraction
    input_size: int = Field(gt=0, description="side of the network's square input, in pixels")
    metrics: dict[str, Any]


# Refusals


class Error(_Exact):
    """One plain sentence for people, and a code for programs."""

    detail: str
    code: Code


class NotReady(Error):
    """Which models are still loading, or cannot be loaded."""

    models: dict[str, Status]


class InternalFault(Error):
    """Something that we did not foresee; the id finds it in the log."""

    request_id: str
