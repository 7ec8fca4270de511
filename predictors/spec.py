"""What training fixed and serving must not retype: one frozen record a network, kept in its ``spec.json``.

Training writes the record, serving reads it, tests, cards and the page quote it.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

SPEC_FILE = "spec.json"

SPEC_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError)
"""What ``ModelSpec.read`` raises for a record that is missing, unreadable or does not hold together."""

Scope = Literal["chest", "limb", "mammogram"]
Activation = Literal["sigmoid", "softmax"]
Pooling = Literal["mean", "logsumexp"]
Resize = Literal["pad", "stretch"]
Colour = Literal["grey", "rgb"]

_HASH = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class InputSpec:
    """How a film becomes the network's input of shape [size, size, 3].

    ``resize``: "pad" keeps the film's proportions inside a black square, "stretch" squeezes it to the square.
    ``window``: the two percentiles of the resized film's grey levels that become 0 and 1. Taken from the film
    itself, so that exposure, bit depth and a wider or narrower export window leave the answer unchanged.
    ``mean``, ``std``: per channel, applied to the windowed values.
    ``reducing_gap``: a film that is many times as large as its place is first averaged down to no less than so many
    times the place, which is cheaper than reaching it in one step.
    """

    size: int
    resize: Resize
    window: tuple[float, float] = (0.5, 99.5)
    colour: Colour = "grey"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    reducing_gap: float = 4.0


@dataclass(frozen=True)
class FileRecord:
    """A file beside ``spec.json`` and the SHA-256 that it must have."""

    file: str
    sha256: str


@dataclass(frozen=True)
class HubRecord:
    """Where on the Hugging Face Hub the weights are: ``repo@revision``, the revision pinned."""

    repo: str
    revision: str


@dataclass(frozen=True)
class ModelSpec:
    """Everything that is true of one network.

    ``labels`` are in the network's own output order; ``positive`` is the one whose probability ``threshold``
    judges. ``activation`` turns the network's outputs into probabilities: "sigmoid" for a single logit of the
    positive label, "softmax" for one logit a label, "none" if the network already gives probabilities.
    ``logit_of`` names the label that a single logit speaks for, where that is not the positive one (Keras numbers
    classes by name, so that a network of someone else's may give the probability of "normal").
    ``pooling`` is how a torch network's evidence map becomes its logits (a Keras file holds its own).
    ``temperature`` divides the logits and ``bias`` is added to the positive label's logit before the activation
    (Platt 1999; with bias 0 this is Guo et al. 2017, "On Calibration of Modern Neural Networks").
    """

    name: str
    title: str
    version: str
    framework: Literal["keras", "torch"]
    architecture: str
    labels: tuple[str, ...]
    positive: str
    input: InputSpec
    activation: Activation
    temperature: float
    bias: float
    threshold: float
    threshold_rule: str
    weights: FileRecord
    twin: FileRecord | None = None
    hub: HubRecord | None = None
    pooling: Pooling = "mean"
    logit_of: str | None = None
    scope: Scope | None = None
    data: tuple[str, ...] = ()
    licence: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outputs(self) -> int:
        """The number of logits that the network gives."""
        return 1 if self.activation == "sigmoid" else len(self.labels)

    @property
    def decides_by_confidence(self) -> bool:
        """Whether both labels are findings, and ``threshold`` judges the larger probability."""
        return self.threshold_rule.startswith("confidence")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``folder/spec.json``; raises one of ``SPEC_FAULTS`` if it is not one."""
        record = json.loads((folder / SPEC_FILE).read_text(encoding="utf-8"))
        record["labels"] = tuple(record["labels"])
        record["data"] = tuple(record.get("data", ()))
        inputs: dict[str, Any] = record["input"]
        for name in ("window", "mean", "std"):
            inputs[name] = tuple(inputs[name])
        record["input"] = InputSpec(**inputs)
        record["weights"] = FileRecord(**record["weights"])
        record["twin"] = FileRecord(**record["twin"]) if record.get("twin") else None
        record["hub"] = HubRecord(**record["hub"]) if record.get("hub") else None
        spec = cls(**record)
        spec.check()
        return spec

    @classmethod
    def unread(cls, name: str) -> Self:
        """A stand-in for a record that cannot be read: a name, and nothing that could answer a film."""
        return cls(
            name=name,
            title=name.replace("_", " ").capitalize(),
            version="unknown",
            framework="torch",
            architecture="unknown",
            labels=(),
            positive="unknown",
            input=InputSpec(1, "pad"),
            activation="softmax",
            temperature=1.0,
            bias=0.0,
            threshold=0.5,
            threshold_rule="unknown",
            weights=FileRecord("", ""),
        )

    def check(self) -> None:
        """Raise ValueError if the record does not hold together: one that was edited by hand, or damaged."""
        for label in (self.positive, self.logit_of or self.positive):
            if label not in self.labels:
                raise ValueError(f"label {label!r} is not one of {self.labels}")
        if self.activation == "sigmoid" and len(self.labels) != 2:
            raise ValueError("a single logit tells exactly two labels apart")
        low, high = self.input.window
        for said, holds in {
            "activation": self.activation in get_args(Activation),
            "pooling": self.pooling in get_args(Pooling),
            "scope": self.scope is None or self.scope in get_args(Scope),
            "resize": self.input.resize in get_args(Resize),
            "colour": self.input.colour in get_args(Colour),
            "size": 16 <= self.input.size <= 4096,
            "window": 0 <= low < high <= 100,
            "reducing_gap": self.input.reducing_gap >= 1,
            "mean and std": all(map(math.isfinite, self.input.mean)) and min(self.input.std) > 0,
            "threshold": 0 <= self.threshold <= 1,
            "temperature and bias": 0 < self.temperature < math.inf and math.isfinite(self.bias),
            "sha256": all(_HASH.fullmatch(file.sha256) for file in (self.weights, self.twin) if file),
        }.items():
            if not holds:
                raise ValueError(f"{said} of {self.name} is none that can be")

    def write(self, folder: Path) -> None:
        """Write ``folder/spec.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False)
        (folder / SPEC_FILE).write_text(text + "\n", encoding="utf-8")
