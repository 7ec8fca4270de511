import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from predictors import convert
from predictors.image import read_film
from predictors.preprocess import network_input
from predictors.runtime import load_network, sha256_of, twin_sha256
from predictors.spec import ModelSpec
from tests.training.conftest import draw_collection
from training import figures, loop, release, train
from training.collections import load, split
from training.evaluate import evaluated, run
from training.networks import Network, build, fold_to_half
from training.recipes import RECIPES, Augmentation, Phase, Recipe
from training.record import read_weights, save_weights

ROOT = Path(__file__).parents[2]

# OpenVINO reads a torch network through torch.jit.trace.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.* is deprecated"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def history(work: Path) -> list[dict[str, str]]:
    with (work / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def epochs(work: Path) -> list[tuple[int, int]]:
    return [(int(row["phase"]), int(row["epoch"])) for row in history(work)]


# What every release must hold


def assert_release_is_whole(out: Path, recipe: Recipe) -> ModelSpec:
    spec = ModelSpec.read(out)
    names = {"spec.json", "card.md", "twin.xml", "twin.bin", "training.png", "confusion.png", "roc.png"}
    assert {path.name for path in out.iterdir()} == names | {recipe.weights_file}
    assert spec.weights.sha256 == sha256_of(out / recipe.weights_file)
    assert spec.twin is not None
    assert spec.twin.sha256 == twin_sha256(out / spec.twin.file)
    assert (spec.name, spec.labels, spec.positive) == (recipe.name, recipe.labels, recipe.positive)
    assert (spec.input, spec.framework, spec.scope) == (recipe.input, recipe.framework, recipe.scope)
    assert spec.temperature > 0
    assert 0 <= spec.threshold <= 1
    assert spec.metrics["twin_difference"] <= convert.TOLERANCE
    for picture in out.glob("*.png"):
        with Image.open(picture) as image:
            assert np.ptp(np.asarray(image.convert("L"))) > 100
    return spec


def assert_card_states_the_spec(out: Path, spec: ModelSpec) -> None:
    card = (out / "card.md").read_text(encoding="utf-8")
    recorded = json.loads((out / "spec.json").read_text(encoding="utf-8"))["metrics"]["validation"]
    assert recorded["films"] > 0
    for name, value in recorded.items():
        if isinstance(value, dict):
            continue
        shown = " to ".join(map(str, value)) if isinstance(value, list) else str(value)
        assert f" | {shown} |" in card, name
    assert all(f"{name}_95" in recorded for name in ("auroc", "sensitivity", "specificity", "ece"))
    assert f"Threshold {spec.threshold} on the probability of `{spec.positive}`: {spec.threshold_rule}" in card
    assert spec.weights.sha256 in card
    assert all(f"]({picture.name})" in card for picture in out.glob("*.png"))


def assert_serving_answers_without_converting(
    spec: ModelSpec, recipe: Recipe, data: Path, out: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the shipped twin was not taken")

    monkeypatch.setattr(convert, "convert", refuse)
    network = load_network(spec, out, cache)
    _, val = split(load(data, recipe.collection), recipe.seed)
    assert not cache.exists()
    # The figures of the card are those of the shipped files, read again as the Space reads them.
    again = evaluated(network, spec, recipe, val, run(network, spec, val))
    assert json.loads(json.dumps(again)) == spec.metrics["validation"]
    output = network(network_input(read_film(val[0].path), spec.input))
    assert output.logits.shape == (spec.outputs,)
    assert output.evidence.shape[-1] == spec.outputs


# Keras: the command itself, in this process


@pytest.fixture
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals of few resamples: scikit-learn's functions take milliseconds each, and a release asks for thousands."""
    monkeypatch.setattr(figures, "RESAMPLES", 40)


def command(monkeypatch: pytest.MonkeyPatch, name: str, data: Path, out: Path, work: Path) -> None:
    arguments = [name, "--data", data, "--out", out, "--work", work, "--scratch", "--epochs", "1", "--threads", "1"]
    monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
    train.main()


@pytest.mark.usefixtures("few_resamples")
def test_one_command_trains_and_releases_a_keras_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, data, out, work = RECIPES["pneumonia"], tmp_path / "films", tmp_path / "out", tmp_path / "runs"
    recipe = replace(recipe, input=replace(recipe.input, size=96))
    monkeypatch.setitem(RECIPES, "pneumonia", recipe)
    draw_collection(data / "pneumonia", ("pneumonia", "normal"), ("kermany", "nih"), groups=6)
    command(monkeypatch, "pneumonia", data, out, work)
    assert "auroc" in capsys.readouterr().out
    assert epochs(work / "pneumonia") == [(1, 1), (2, 1)]
    spec = assert_release_is_whole(out, recipe)
    assert_card_states_the_spec(out, spec)

    # The second call goes on from the finished checkpoint: nothing is trained, the same network is given for release.
    first = (work / "pneumonia" / "history.csv").read_bytes()
    given: list[Network] = []
    with monkeypatch.context() as patch:
        patch.setattr(train, "release", lambda _, network, *__: given.append(network) or spec)
        command(patch, "pneumonia", data, out, work)
    assert (work / "pneumonia" / "history.csv").read_bytes() == first
    fold_to_half(given[0])
    released = build(recipe, None)
    read_weights(released, out / recipe.weights_file)
    again = dict(given[0].named_parameters())
    assert all(torch.equal(value, again[name]) for name, value in released.named_parameters())
    assert_serving_answers_without_converting(spec, recipe, data, out, monkeypatch, tmp_path / "cache")


def test_the_command_starts_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::RuntimeWarning", "-m", "training.train", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "--backbones" in done.stdout


# torch, with a teacher and boxes: the same command line in this process, at a size that takes seconds


@pytest.fixture
def small_fractures(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    def small(name: str, **changes: Any) -> Recipe:
        recipe = RECIPES[name]
        recipe = replace(recipe, input=replace(recipe.input, size=64), batch=16, **changes)
        monkeypatch.setitem(RECIPES, name, recipe)
        return recipe

    small("second_fracture_teacher", phases=(Phase(1, 2e-3, -1), Phase(1, 6e-4, 4)))
    return small("fracture_detection", phases=(Phase(1, 1e-3, 0, crop=32), Phase(2, 1e-3, 0)))


@pytest.mark.usefixtures("few_resamples")
def test_the_command_trains_a_torch_network_and_its_teacher_first(
    small_fractures: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, data, out, work = small_fractures, tmp_path / "films", tmp_path / "out", tmp_path / "runs"
    draw_collection(data / "bone_fracture", ("fracture", "normal"), ("fracatlas",), groups=16, boxes=True)
    draw_collection(data / "fracture_type", ("fisura", "fractura"), ("bone_break",), groups=4)
    command(monkeypatch, "fracture_detection", data, out, work)
    assert epochs(work / "second_fracture_teacher") == [(1, 1), (2, 1)]
    assert epochs(work / "fracture_detection") == [(1, 1), (2, 1)]  # --epochs 1: one of the last phase's two
    spec = assert_release_is_whole(out, recipe)
    assert_card_states_the_spec(out, spec)
    state = torch.load(out / "model.pth", weights_only=True)
    assert state["fc.weight"].shape == (2, 512)
    assert state["conv1.weight"].dtype == torch.float16
    with monkeypatch.context() as patch:
        assert_serving_answers_without_converting(spec, recipe, data, out, patch, tmp_path / "cache")

    # The same weights, read at another size: everything but they is described anew.
    phases = tuple(replace(phase, size=64) for phase in recipe.phases)
    larger = replace(recipe, input=replace(recipe.input, size=96), phases=phases)
    monkeypatch.setitem(RECIPES, "fracture_detection", larger)
    arguments = ["fracture_detection", "--data", data, "--weights", out.rename(tmp_path / "fracture_detection").parent]
    monkeypatch.setattr(sys, "argv", ["release", *map(str, arguments)])
    release.main()
    out = tmp_path / "fracture_detection"
    described = assert_release_is_whole(out, larger)
    assert described.input.size == 96
    assert "Learnt from films of 64 pixels" in (out / "card.md").read_text(encoding="utf-8")
    assert_card_states_the_spec(out, described)
    now = torch.load(out / "model.pth", weights_only=True)
    assert all(torch.equal(value, now[name]) for name, value in state.items())


def test_a_release_is_trained_onward_with_the_last_phase_only(
    small_fractures: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, work, released = tmp_path / "films", tmp_path / "runs", tmp_path / "model.pth"
    draw_collection(data, ("fracture", "normal"), ("fracatlas",), groups=16, boxes=True)
    network = build(small_fractures, None).eval()
    fold_to_half(network)
    save_weights(network, small_fractures, released)
    plan = train.Plan(data, work, None, 1, scratch=True, onward=released)
    _, onward = train.trained("fracture_detection", plan)
    assert epochs(work / "second_fracture_teacher") == [(1, 1), (2, 1)]
    assert epochs(work / "fracture_detection") == [(2, 1)]
    # It began at the release: after an epoch of a few steps its weights are still near, which no random start is.
    change = onward.state_dict()["net.conv1.weight"] - network.state_dict()["net.conv1.weight"]
    assert 0 < change.norm() < 0.3 * network.state_dict()["net.conv1.weight"].norm()


def test_a_last_phase_without_a_teacher_asks_for_none(
    small_fractures: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, work, released = tmp_path / "films", tmp_path / "runs", tmp_path / "model.pth"
    draw_collection(data, ("fracture", "normal"), ("fracatlas",), groups=5)
    *first, last = small_fractures.phases
    RECIPES["fracture_detection"] = replace(small_fractures, phases=(*first, replace(last, taught=False)))
    save_weights(build(small_fractures, None), small_fractures, released)
    monkeypatch.setattr(train, "release", lambda *_: ModelSpec.read(ROOT / "weights" / "fracture_detection"))
    # No folder of ImageNet starts either, which the teacher would have begun with.
    arguments = ["--data", data, "--out", tmp_path / "out", "--work", work, "--onward", released, "--epochs", "1"]
    monkeypatch.setattr(sys, "argv", ["train", "fracture_detection", *map(str, arguments)])
    train.main()
    assert [path.name for path in work.iterdir()] == ["fracture_detection"]
    assert epochs(work / "fracture_detection") == [(2, 1)]


def test_the_option_epochs_holds_for_the_teacher_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_collection(tmp_path / "films", ("fracture", "normal"), ("fracatlas",), groups=5)
    asked: dict[str, list[int]] = {}

    def fit(recipe: Recipe, *_: Any) -> Network:
        asked[recipe.name] = [phase.epochs for phase in recipe.phases]
        return build(recipe, None)

    def release(*_: Any) -> ModelSpec:
        return ModelSpec.read(ROOT / "weights" / "fracture_detection")

    monkeypatch.setattr(train, "fit", fit)
    monkeypatch.setattr(train, "release", release)
    arguments = [
        "--data",
        tmp_path / "films",
        "--out",
        tmp_path / "out",
        "--work",
        tmp_path / "work",
        "--epochs",
        "1",
        "--scratch",
    ]
    monkeypatch.setattr(sys, "argv", ["train", "fracture_detection", *map(str, arguments)])
    train.main()
    assert asked == {"second_fracture_teacher": [1, 1], "fracture_detection": [1, 1]}


# Stopped and taken up again


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """A torch network without a start, small enough that an epoch of its two steps takes a second."""
    return replace(
        RECIPES["fracture_detection"],
        input=replace(RECIPES["fracture_detection"].input, size=32),
        phases=(Phase(2, 1e-3, 0), Phase(2, 5e-4, 2)),
        augmentation=Augmentation(),
        batch=16,
        box_weight=0.0,
        distil_weight=0.0,
        teacher=None,
    )


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any]]:
    folder = tmp_path_factory.mktemp("films")
    draw_collection(folder, ("fracture", "normal"), ("fracatlas",), groups=10)
    return split(load(folder, "bone_fracture"), 0)


class Stop(Exception):
    """Whatever ends a training: a reboot, a timeout."""


def counting_steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The learning rate of every step that is taken from now on."""
    taken: list[float] = []
    step = loop.Learner.step

    def counted(self: loop.Learner, *arguments: Any) -> float:
        taken.append(self.optimiser.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(loop.Learner, "step", counted)
    return taken


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return counting_steps(monkeypatch)


@pytest.fixture(scope="module")
def rates(recipe: Recipe, films: Any, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """The learning rates of a training that nothing stops."""
    with pytest.MonkeyPatch.context() as patch:
        taken = counting_steps(patch)
        loop.fit(recipe, *films, tmp_path_factory.mktemp("whole"))
        return list(taken)


def fit_and_stop_after(done: int, recipe: Recipe, films: Any, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The training ends in the middle of the epoch after so many, before anything of it is written."""
    calls = []
    logits_of = loop.logits_of

    def stopping(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > done:
            raise Stop
        return logits_of(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "logits_of", stopping)
        with pytest.raises(Stop):
            loop.fit(recipe, *films, work)


ALL = [(1, 1), (1, 2), (2, 1), (2, 2)]


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_stopped_training_goes_on_where_it_was(
    done: int,
    recipe: Recipe,
    films: Any,
    rates: list[float],
    steps: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work, per_epoch = tmp_path / "work", len(rates) // 4
    fit_and_stop_after(done, recipe, films, work, monkeypatch)
    before = history(work)
    assert epochs(work) == ALL[:done]
    checkpoint = torch.load(work / "checkpoint.pt", weights_only=True)
    steps.clear()

    loop.fit(recipe, *films, work)
    assert history(work)[:done] == before  # what was learnt is not learnt, or written, again
    assert epochs(work) == ALL
    assert len(steps) == per_epoch * (4 - done)
    assert steps == pytest.approx(rates[per_epoch * done :])  # the schedule goes on, it does not warm up anew
    finished = torch.load(work / "checkpoint.pt", weights_only=True)
    count = "net.bn1.num_batches_tracked"
    trained_on = int(finished["learner"]["network"][count])
    assert trained_on - int(checkpoint["learner"]["network"][count]) == sum(
        per_epoch for phase, _ in ALL[done:] if phase == 1
    )


def test_a_resumed_network_starts_from_the_checkpoints_weights(
    recipe: Recipe, films: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit_and_stop_after(1, recipe, films, tmp_path, monkeypatch)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["learner"]
    seen: dict[str, Any] = {}

    def look(self: loop.Learner, *_: Any) -> float:
        seen["network"] = {name: value.clone() for name, value in self.network.state_dict().items()}
        seen["average"] = {name: value.clone() for name, value in self.average.state_dict().items()}
        seen["momenta"] = self.optimiser.state_dict()["state"]
        raise Stop

    monkeypatch.setattr(loop.Learner, "step", look)
    with pytest.raises(Stop):
        loop.fit(recipe, *films, tmp_path)
    fresh = build(recipe, None).state_dict()
    for part in ("network", "average"):
        assert all(torch.equal(value, saved[part][name]) for name, value in seen[part].items())
    assert not torch.equal(seen["network"]["net.fc.weight"], fresh["net.fc.weight"])
    assert torch.equal(seen["momenta"][0]["exp_avg"], saved["optimiser"]["state"][0]["exp_avg"])


def test_a_finished_training_takes_no_step_and_gives_the_same_network(
    recipe: Recipe, films: Any, steps: list[float], tmp_path: Path
) -> None:
    first = loop.fit(recipe, *films, tmp_path)
    taken, rows = len(steps), history(tmp_path)
    again = loop.fit(recipe, *films, tmp_path)
    assert len(steps) == taken
    assert history(tmp_path) == rows
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_the_best_epoch_of_the_last_phase_is_given(
    recipe: Recipe, films: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aucs = iter([0.99, 0.9, 0.6, 0.8, 0.7])  # phase 1's 0.99 does not count: its size or its stages are others
    pooled = iter([0.5, 0.5, 0.9, 0.5, 0.5])
    averages: list[dict[str, Any]] = []

    def figures(*_: Any) -> dict[str, float]:
        return {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "auc": next(pooled), "auc_within": next(aucs)}

    def logits_of(network: Network, *_: Any) -> Any:
        averages.append({name: value.clone() for name, value in network.state_dict().items()})
        return np.zeros((1, 2), np.float32)

    monkeypatch.setattr(loop, "figures_of", figures)
    monkeypatch.setattr(loop, "logits_of", logits_of)
    network = loop.fit(replace(recipe, phases=(Phase(2, 1e-3, 0), Phase(3, 1e-3, 0))), *films, tmp_path)
    assert len(averages) == 5
    assert all(torch.equal(value, averages[3][name]) for name, value in network.state_dict().items())
    assert not network.training


def test_a_collection_smaller_than_a_batch_is_learnt_whole(
    recipe: Recipe, films: Any, steps: list[float], tmp_path: Path
) -> None:
    recipe = replace(recipe, batch=1000)
    loop.fit(recipe, *films, tmp_path)
    assert len(steps) == 4
    assert epochs(tmp_path) == ALL


def test_a_bright_bar_is_learnt(recipe: Recipe, films: Any, tmp_path: Path) -> None:
    recipe = replace(recipe, phases=(Phase(10, 2e-3, 0),), batch=8)
    loop.fit(recipe, *films, tmp_path)
    losses = [float(row["loss"]) for row in history(tmp_path)]
    # The median: with four steps an epoch, one batch of odd views can make an epoch's loss.
    assert np.median(losses[-5:]) < 0.6 * losses[0]
    assert max(float(row["auc"]) for row in history(tmp_path)) >= 0.9
