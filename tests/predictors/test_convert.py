"""Weights that people bring: Keras files and torch state dicts become twins that answer as the original does."""

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision

from predictors.errors import ModelUnavailable
from predictors.probability import probabilities
from predictors.runtime import Output, load_network, sha256_of
from predictors.spec import FileRecord, InputSpec, ModelSpec
from tests.predictors.conftest import WEIGHTS
from tests.running import ROOT

pytestmark = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore:::torch", "ignore:::keras", "ignore:::tensorflow", "ignore:::openvino"
)

SIZE = 32


@pytest.fixture(scope="module")
def keras() -> Any:
    return pytest.importorskip("keras")


def spec_of(path: Path, **changes: Any) -> ModelSpec:
    spec = ModelSpec.read(WEIGHTS / "bone_fracture")
    plain = {
        "input": InputSpec(SIZE, "stretch"),
        "weights": FileRecord(path.name, sha256_of(path)),
        "twin": None,
        "temperature": 1.0,
        "bias": 0.0,
        "activation": "sigmoid",
    }
    return replace(spec, **(plain | changes))


def answer(path: Path, spec: ModelSpec, pictures: np.ndarray) -> Output:
    return load_network(spec, path.parent, path.parent / "cache")(pictures)


@pytest.fixture
def pictures() -> np.ndarray:
    return np.random.default_rng(3).normal(size=(1, SIZE, SIZE, 3)).astype(np.float32)


def small_network(keras: Any, head: Any) -> Any:
    keras.utils.set_random_seed(5)
    source = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(source)
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    return keras.Model(source, head(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(("units", "activation"), [(1, "sigmoid"), (2, "softmax")])
def test_a_usual_keras_classifier(
    keras: Any, tmp_path: Path, pictures: np.ndarray, suffix: str, units: int, activation: str
) -> None:
    layers = keras.layers

    def head(x: Any) -> Any:
        return layers.Dense(units, activation)(layers.Dropout(0.3)(layers.GlobalAveragePooling2D()(x)))

    model = small_network(keras, head)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    spec = spec_of(path, activation=activation)
    output = answer(path, spec, pictures)
    expected = model.predict(pictures, verbose=0)[0]
    ours = probabilities(output.logits, spec)
    assert ours["fracture"] == pytest.approx(float(expected[0]), abs=1e-3)
    assert output.evidence.shape == (8, 8, units)
    np.testing.assert_allclose(output.evidence.mean((0, 1)), output.logits, atol=1e-3)


def test_a_keras_file_that_gives_logits_and_map_itself(keras: Any, tmp_path: Path, pictures: np.ndarray) -> None:
    def head(x: Any) -> Any:
        evidence = keras.layers.Conv2D(1, 1)(x)
        return [keras.ops.logsumexp(evidence, axis=(1, 2)), evidence]

    model = small_network(keras, head)
    path = tmp_path / "model.keras"
    model.save(path)
    output = answer(path, spec_of(path), pictures)
    logits, evidence = model.predict(pictures, verbose=0)
    np.testing.assert_allclose(output.logits, logits[0], atol=3e-3)
    np.testing.assert_allclose(output.evidence, evidence[0], atol=3e-3)


def test_what_does_not_fit_says_so(keras: Any, tmp_path: Path, pictures: np.ndarray) -> None:
    layers = keras.layers

    def flat(x: Any) -> Any:
        return layers.Dense(1, "sigmoid")(layers.Flatten()(x))

    def three(x: Any) -> Any:
        return layers.Dense(3, "softmax")(layers.GlobalAveragePooling2D()(x))

    for name, head, changes in (
        ("flat", flat, {}),
        ("three", three, {"activation": "softmax"}),
        ("size", three, {"input": InputSpec(64, "stretch")}),
    ):
        path = tmp_path / f"{name}.keras"
        small_network(keras, head).save(path)
        with pytest.raises(ModelUnavailable, match=r"^The weights of bone_fracture do not fit: expected \d+x\d+x3"):
            answer(path, spec_of(path, **changes), pictures)


def test_another_activation_than_the_spec_names_is_told(keras: Any, tmp_path: Path, pictures: np.ndarray) -> None:
    def head(x: Any) -> Any:
        return keras.layers.Dense(1, "tanh")(keras.layers.GlobalAveragePooling2D()(x))

    path = tmp_path / "model.keras"
    small_network(keras, head).save(path)
    with pytest.raises(ModelUnavailable, match="end in tanh, not sigmoid"):
        answer(path, spec_of(path), pictures)


def test_code_inside_a_keras_file_is_not_run(keras: Any, tmp_path: Path, pictures: np.ndarray) -> None:
    marker = tmp_path / "ran"

    def head(x: Any) -> Any:
        x = keras.layers.Lambda(lambda t, m=str(marker): (open(m, "w").close(), t)[1])(x)
        marker.unlink(missing_ok=True)
        return keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))

    path = tmp_path / "model.keras"
    small_network(keras, head).save(path)
    marker.unlink(missing_ok=True)
    with pytest.raises(ModelUnavailable, match="damaged or of another format"):
        answer(path, spec_of(path), pictures)
    assert not marker.exists()


def test_anyones_torchvision_resnet(tmp_path: Path, pictures: np.ndarray) -> None:
    torch.manual_seed(1)
    net = torchvision.models.resnet18(weights=None, num_classes=2).eval()
    path = tmp_path / "fracture_best_model.pth"
    torch.save(net.state_dict(), path)
    spec = spec_of(path, framework="torch", architecture="resnet18", activation="softmax")
    output = answer(path, spec, pictures)
    with torch.no_grad():
        expected = net(torch.from_numpy(pictures).permute(0, 3, 1, 2))[0].numpy()
    np.testing.assert_allclose(output.logits, expected, atol=5e-3)
    assert output.evidence.shape == (1, 1, 2)


def test_both_frameworks_convert_in_one_process(tmp_path: Path) -> None:
    """A Space without its twins does; the LLVMs of TensorFlow and of torch's Triton ended it once."""
    program = (
        "from pathlib import Path\n"
        "from predictors.convert import convert\n"
        "from predictors.spec import ModelSpec\n"
        "for name in ('pneumonia', 'scope'):\n"
        "    folder = Path('weights') / name\n"
        "    spec = ModelSpec.read(folder)\n"
        f"    print(convert(folder / spec.weights.file, spec, Path({str(tmp_path)!r}) / 'twin.xml') < 1e-3)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\nTrue\n"), done.stderr[-2000:]


def test_a_state_dict_of_another_network_does_not_fit(tmp_path: Path, pictures: np.ndarray) -> None:
    path = tmp_path / "model.pth"
    torch.save(torchvision.models.resnet18(weights=None, num_classes=5).state_dict(), path)
    spec = spec_of(path, framework="torch", architecture="resnet18", activation="softmax")
    with pytest.raises(ModelUnavailable, match="do not fit"):
        answer(path, spec, pictures)
    with pytest.raises(ModelUnavailable, match="no torch architecture 'vgg'"):
        answer(path, replace(spec, architecture="vgg"), pictures)


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_a_pickle_is_not_run(tmp_path: Path, pictures: np.ndarray) -> None:
    path, marker = tmp_path / "model.pth", tmp_path / "ran"
    path.write_bytes(pickle.dumps(_Evil(marker)))
    spec = spec_of(path, framework="torch", architecture="resnet18", activation="softmax")
    with pytest.raises(ModelUnavailable, match="damaged or of another format"):
        answer(path, spec, pictures)
    assert not marker.exists()
