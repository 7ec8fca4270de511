"""How each network is trained, and what its card says of it: one record a model, nothing else."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from predictors.scope import inverted
from predictors.spec import InputSpec, Scope
from training.collections import Example

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Phase:
    """A stretch of training; the backbone's first ``frozen`` stages keep their weights (-1: all of them).

    With ``crop``, no label counts: the teacher is matched, on a random square of each film, ``crop`` pixels of the
    network's input wide, half of them mixed in pairs, and on the films of ``Recipe.also`` too.
    """

    epochs: int
    learning_rate: float
    frozen: int
    size: int | None = None  # the films' side, where it is smaller than the input: cheaper, and coarse features first
    crop: int | None = None
    taught: bool = True  # whether the teacher is matched beside the labels


@dataclass(frozen=True)
class Augmentation:
    """Ranges of the random changes that a film goes through each time it is shown."""

    rotate: float = 10.0  # degrees, either way
    scale: float = 0.12
    stretch: float = 0.08
    shift: float = 0.06  # of the film's side
    flip: bool = True
    flip_vertical: bool = False
    gamma: float = 0.3  # log range
    contrast: float = 0.15
    noise: float = 0.03
    blur: float = 0.3  # probability
    erase: float = 0.25  # probability of one blanked rectangle
    grey: float = 0.0  # probability of dropping colour


@dataclass(frozen=True)
class Recipe:
    """All that ``training.train`` needs to know of one network."""

    name: str
    title: str
    collection: str
    framework: Literal["keras", "torch"]
    weights_file: str
    architecture: str
    labels: tuple[str, ...]
    positive: str
    input: InputSpec
    activation: Literal["sigmoid", "softmax"]
    pooling: Literal["mean", "logsumexp"]
    phases: tuple[Phase, ...]
    scope: Scope | None
    data: tuple[str, ...]
    licence: str
    version: str = "1.0.0"
    reads: str = ""
    limits: tuple[str, ...] = ()
    threshold_rule: Literal["sensitivity", "balanced", "likelier", "confidence"] = "balanced"
    relabel: dict[str, str] = field(default_factory=dict)  # collection's label -> network's label
    keep: Callable[[Example], bool] = lambda example: True
    balance: Literal["label", "source", "scanner"] = "label"  # every value times label weighs the same in the loss
    augmentation: Augmentation = Augmentation()
    batch: int = 32
    seed: int = 0
    box_weight: float = 0.0
    teacher: str | None = None
    distil_weight: float = 0.0
    also: tuple[str, ...] = ()  # collections whose films are shown without their labels, to match the teacher on
    start: Literal["imagenet", "teacher", "scratch"] = "imagenet"
    trunk: str | None = None  # the network whose features a head is learnt on, in place of any phases,
    beside: str | None = None  # and the network that is trained by itself and added to it


FRACATLAS = "FracAtlas (Abedeen et al. 2023), CC BY 4.0"
KERMANY = "Chest X-Ray Images (Pneumonia), Kermany et al. 2018, Guangzhou, children 1 to 5, CC BY 4.0"
NIH = "NIH ChestX-ray14 (Wang et al. 2017), NIH Clinical Center, adults"
DDSM = "DDSM (Heath et al. 2001), University of South Florida, for research and teaching, citation required"
BONE_BREAK = "Bone Break Classification (Roboflow curso-rphcb), declared CC BY 4.0 by its uploaders"
SCIENCE_RESEARCH = "Science Research 2022 (Roboflow), declared CC BY 4.0 by its uploaders"
RESEARCH = "research-and-teaching"  # what the terms of its films allow
IMAGENET_TEACHER = "taught by an ImageNet-trained MobileNetV2 (Apache-2.0) that was fine-tuned on the same films"
IMAGENET_START = "ImageNet-trained MobileNetV2 or SqueezeNet 1.1 as the starting point, Apache-2.0"

KINDS = ("chest", "limb", "mammogram")
TYPE_FLAGS_OUT = {"not_radiograph", "not_limb", "wrong_class", "unreadable", "no_fracture_visible"}

_FRACTURES = Recipe(
    name="bone_fracture",
    title="Bone fracture",
    version="1.2.0",
    collection="bone_fracture",
    framework="keras",
    weights_file="model.keras",
    architecture="efficientnet_b0",
    labels=("fracture", "normal"),
    positive="fracture",
    # Keras' EfficientNet scales 0..255 itself, so the windowed film is handed over in that range.
    input=InputSpec(320, "pad", mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255)),
    activation="sigmoid",
    pooling="logsumexp",
    phases=(Phase(5, 1e-3, 2, crop=192), Phase(4, 4e-4, 2), Phase(5, 3e-4, 4, taught=False)),
    scope="limb",
    data=(FRACATLAS, IMAGENET_TEACHER, *map("{}, without its labels".format, (BONE_BREAK, SCIENCE_RESEARCH))),
    licence="MIT",
    reads="radiographs of hands, legs, hips and shoulders, one view at a time",
    limits=(
        "Learnt from three hospitals of one country; films of other equipment may be judged less well.",
        "Body part and metal implants go along with the label in FracAtlas, and may sway the network.",
        "A hairline fracture can vanish when the film is brought to the network's input size.",
        "Skull, spine and ribs are not what it reads.",
    ),
    augmentation=Augmentation(rotate=20, flip_vertical=True),
    box_weight=1.0,
    teacher="fracture_teacher",
    distil_weight=1.0,
    also=("fracture_type",),
    start="teacher",
)

_FRACTURE_TEACHER = replace(
    _FRACTURES,
    name="fracture_teacher",
    title="Teacher of the fracture networks",
    version="1.0.0",
    architecture="mobilenet_v2",
    input=InputSpec(320, "pad"),
    phases=(Phase(12, 6e-4, 4),),
    teacher=None,
    distil_weight=0.0,
    also=(),
    start="imagenet",
)

_FISSURES = Recipe(
    name="fissures",
    title="Fissure or fracture, from ImageNet alone",
    collection="fracture_type",
    framework="keras",
    weights_file="model.h5",
    architecture="mobilenet_v2",
    labels=("fisura", "fractura"),
    positive="fractura",
    input=InputSpec(224, "pad"),
    activation="sigmoid",
    pooling="mean",
    phases=(Phase(2, 2e-3, -1), Phase(18, 4e-4, 4)),
    scope="limb",
    data=(BONE_BREAK, SCIENCE_RESEARCH, IMAGENET_START),
    licence="MIT",
    reads="radiographs of limbs on which a fracture was already found",
    limits=(
        "It always compares fissure with fracture: it does not say whether there is a fracture at all.",
        "Two small sources with different looks; labels were given by their uploaders.",
        "Confidence is low on most films; below the threshold it declines to name a class.",
    ),
    threshold_rule="confidence",
    keep=lambda e: e.label != "untyped" and e.facts.get("flag", "") not in TYPE_FLAGS_OUT,
    balance="source",
    augmentation=Augmentation(rotate=25, scale=0.2, flip_vertical=True, erase=0.4),
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        _FRACTURES,
        replace(
            _FRACTURES,
            name="fracture_detection",
            title="Fracture, second reader",
            version="1.2.0",
            framework="torch",
            weights_file="model.pth",
            architecture="resnet18",
            labels=("fractured", "not fractured"),
            positive="fractured",
            relabel={"fracture": "fractured", "normal": "not fractured"},
            # Learnt at 320 px, read at 352: augmentation enlarges half of the films (Touvron et al. 2019, "FixRes").
            input=InputSpec(352, "pad", mean=IMAGENET_MEAN, std=IMAGENET_STD),
            activation="softmax",
            phases=(Phase(22, 2e-3, 0, size=320, crop=192), Phase(7, 3e-4, 0, size=320)),
            start="scratch",
            teacher="second_fracture_teacher",
            seed=1,
        ),
        _FRACTURE_TEACHER,
        replace(
            _FRACTURE_TEACHER,
            name="second_fracture_teacher",
            phases=(Phase(1, 2e-3, -1), Phase(10, 6e-4, 4)),
            seed=1,
        ),
        _FISSURES,
        replace(
            _FISSURES,
            name="fracture_type",
            title="Fissure or fracture",
            version="2.0.0",
            architecture="mobilenet_v2+resnet18_narrow",
            input=InputSpec(352, "pad"),
            phases=(),
            trunk="fracture_detection",
            beside="fissures",
            data=(
                BONE_BREAK,
                SCIENCE_RESEARCH,
                IMAGENET_START,
                f"{FRACATLAS}, by way of the second fracture reader, {IMAGENET_TEACHER}",
            ),
        ),
        Recipe(
            name="breast_cancer",
            title="Mammogram risk",
            collection="breast_cancer",
            framework="keras",
            weights_file="model.keras",
            architecture="mobilenet_v2",
            labels=("benign", "malignant"),
            positive="malignant",
            input=InputSpec(288, "stretch"),
            activation="sigmoid",
            pooling="mean",
            phases=(Phase(2, 2e-3, -1), Phase(12, 6e-4, 4)),
            scope="mammogram",
            data=(DDSM, IMAGENET_START),
            licence=RESEARCH,
            reads="mammograms, one view at a time (CC or MLO), digitised film or digital",
            limits=(
                "Learnt from digitised films of the 1990s; expect a drop on digital mammography.",
                "Every training film showed an abnormality, benign or malignant: it was not taught to screen.",
                "What lies beside the breast (tape, letters, the film's ground) sways it about as much as the breast "
                "does; elsewhere that will not help it.",
                "Small calcifications are not visible at the network's input size.",
            ),
            threshold_rule="likelier",
            balance="scanner",
            augmentation=Augmentation(rotate=12, flip_vertical=True, contrast=0.2, noise=0.01, blur=0.1, erase=0.1),
        ),
        Recipe(
            name="pneumonia",
            title="Pneumonia",
            collection="pneumonia",
            framework="keras",
            weights_file="model.h5",
            architecture="mobilenet_v2",
            labels=("Normal", "Pneumonia"),
            positive="Pneumonia",
            relabel={"normal": "Normal", "pneumonia": "Pneumonia"},
            input=InputSpec(224, "stretch"),
            activation="sigmoid",
            pooling="mean",
            phases=(Phase(1, 2e-3, -1), Phase(5, 5e-4, 4)),
            scope="chest",
            data=(KERMANY, NIH, IMAGENET_START),
            licence="MIT",
            reads="frontal chest radiographs",
            limits=(
                "Most training films show children aged 1 to 5 of one hospital; adults are read less well.",
                "Adult labels were mined from reports and are noisy.",
                "Other findings (effusion, oedema, tumour) can look like pneumonia to it.",
            ),
            threshold_rule="sensitivity",
            keep=lambda e: e.source != "kermany_fullsize",  # copies of films that kermany holds already
            balance="source",
            augmentation=Augmentation(rotate=8, gamma=0.4, contrast=0.25),
        ),
        Recipe(
            name="scope",
            title="Scope guard",
            version="1.2.0",
            collection="scope",
            framework="torch",
            weights_file="model.pth",
            architecture="squeezenet1_1",
            labels=(*KINDS, *map(inverted, KINDS), "out"),
            positive="out",
            # Small, and averaged down from near: every film passes here first, and what kind it is shows from afar.
            input=InputSpec(112, "pad", colour="rgb", mean=IMAGENET_MEAN, std=IMAGENET_STD, reducing_gap=2.0),
            activation="softmax",
            pooling="mean",
            phases=(Phase(1, 2e-3, -1), Phase(14, 3e-4, 2)),
            scope=None,
            data=(
                FRACATLAS,
                KERMANY,
                NIH,
                DDSM,
                BONE_BREAK,
                SCIENCE_RESEARCH,
                "RSNA 2018 normals on NIH films",
                "public pictures of eleven kinds that are no films of these three, for research",
                IMAGENET_START,
            ),
            licence=RESEARCH,
            reads="any picture, to say which of the three kinds of film it is, or that it is none of them",
            limits=(
                "What it should refuse was learnt from eleven kinds of pictures; a kind that it never saw may pass.",
                "It tells the kind of film, not its quality.",
                "A negative is turned round only where it is far more probable than an upright film; some are missed.",
            ),
            augmentation=Augmentation(rotate=15, scale=0.25, stretch=0.25, flip_vertical=True, grey=0.5, blur=0.5),
            batch=64,
        ),
    )
}
