"""A pupil that matches its teacher: what is compared, on which films, and that it is learnt."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.training.conftest import draw_collection
from training import loop
from training.augment import crops, mixed
from training.collections import load, split
from training.evaluate import examples_of
from training.film_set import FilmSet
from training.matching import Matching
from training.networks import KerasMirror, Network, build, stages
from training.recipes import RECIPES, Phase, Recipe
from training.train import also_shown

PUPIL, TEACHER = RECIPES["fracture_detection"], RECIPES["second_fracture_teacher"]


@pytest.fixture(params=["fracture_detection", "bone_fracture"])
def pair(request: pytest.FixtureRequest) -> tuple[Network, Network, Matching]:
    torch.manual_seed(0)
    pupil = RECIPES[request.param]
    known = RECIPES[pupil.teacher or ""]
    network, teacher = build(pupil, None), build(known, None)
    return network, teacher.eval(), Matching(pupil, network, known, teacher)


def loss_of(pair: tuple[Network, Network, Matching], films: Tensor) -> Tensor:
    network, teacher, matching = pair
    maps = network.maps(films)
    with torch.no_grad():
        known_maps = teacher.maps(films)
        known = teacher.spoken(known_maps[-1])
    loss: Tensor = matching(maps, network.spoken(maps[-1]), known_maps, known)
    return loss


def test_what_is_matched_has_the_same_stride(pair: tuple[Network, Network, Matching]) -> None:
    network, teacher, matching = pair
    films = torch.rand(2, 3, 64, 64)
    own, its = network.maps(films), teacher.maps(films)
    strides = [64 // own[a].shape[-1] for a, _ in matching.pairs]
    assert strides == [64 // its[b].shape[-1] for _, b in matching.pairs] == [4, 8, 16, 32]


@pytest.mark.parametrize("name", ["fracture_detection", "second_fracture_teacher", "scope"])
def test_maps_and_what_is_made_of_them_are_the_whole_network(name: str) -> None:
    network = build(RECIPES[name], None).eval()
    films = torch.rand(1, 3, 64, 64)
    for whole, part in zip(network(films), network.spoken(network.maps(films)[-1]), strict=True):
        assert torch.equal(whole, part)


def test_every_depth_and_the_answer_are_taught(pair: tuple[Network, Network, Matching]) -> None:
    network, _, matching = pair
    loss_of(pair, torch.rand(4, 3, 64, 64)).backward()
    first, *_, last = stages(network).children()
    head = network.evidence if isinstance(network, KerasMirror) else network.net.fc  # type: ignore[union-attr]
    for part in (*matching.hints, matching.adapter, first, last, head):
        assert all(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in part.parameters())


def test_a_pupil_comes_nearer_to_its_teacher(pair: tuple[Network, Network, Matching]) -> None:
    network, _, matching = pair
    films = torch.rand(8, 3, 64, 64)
    optimiser = torch.optim.AdamW([*network.parameters(), *matching.parameters()], 2e-3)
    network.train()
    losses = []
    for _ in range(12):
        loss = loss_of(pair, films)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_crops_are_squares_of_the_film_as_it_is() -> None:
    film = torch.arange(100.0).view(1, 1, 10, 10).repeat(64, 1, 1, 1)
    parts = crops(film, 4)
    assert parts.shape == (64, 1, 4, 4)
    corners = parts[:, 0, 0, 0]
    assert {*(corners // 10).tolist()} == {*(corners % 10).tolist()} == set(range(7))  # as far as the last row
    inside = torch.arange(4.0)
    assert torch.equal(parts[:, 0] - corners[:, None, None], (10 * inside[:, None] + inside).expand(64, 4, 4))


def test_half_of_the_films_are_mixed_with_another() -> None:
    torch.manual_seed(0)
    films = torch.eye(400).view(400, 400, 1, 1)
    shares = mixed(films).view(400, 400)
    assert torch.allclose(shares.sum(1), torch.ones(400))
    whole = int((shares.diagonal() == 1).sum())
    assert 160 < whole < 240
    assert int((shares > 0).sum(1).max()) == 2


# Films without labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    draw_collection(tmp_path / "bone_fracture", ("fracture", "normal"), ("fracatlas",), groups=10)
    draw_collection(tmp_path / "fracture_type", ("fisura", "fractura"), ("bone_break",), groups=4)
    return tmp_path


def test_films_of_other_collections_are_shown_beside(data: Path) -> None:
    also = also_shown(PUPIL, data, examples_of(PUPIL, data))
    assert also
    assert {example.path.parent.parent.name for example in also} == {"fracture_type"}


def test_a_collection_that_is_not_there_is_done_without(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = data / "bone_fracture"
    assert also_shown(PUPIL, folder, examples_of(PUPIL, folder)) == []  # and no held-back film comes in by that way
    (data / "fracture_type").rename(data / "elsewhere")
    assert also_shown(PUPIL, data, examples_of(PUPIL, data)) == []
    assert "does without the films of fracture_type" in capsys.readouterr().out


def test_a_phase_may_do_without_its_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = build(TEACHER, None).eval()
    learner = loop.Learner(PUPIL, build(PUPIL, None), (TEACHER, teacher))

    def asked(*_: Any) -> Any:
        raise AssertionError("the teacher was asked")

    monkeypatch.setattr(teacher, "maps", asked)
    films = torch.rand(2, 1, 64, 64)
    learner.start(Phase(1, 1e-3, 0, taught=False), 1)
    assert float(learner._seen(films, None)[1]) == 0
    learner.start(Phase(1, 1e-3, 0), 1)
    with pytest.raises(AssertionError, match="was asked"):
        learner._seen(films, None)


def test_each_sees_films_at_its_own_size_and_squares_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    pupil = replace(PUPIL, input=replace(PUPIL.input, size=96))
    known = replace(TEACHER, input=replace(TEACHER.input, size=64))
    learner = loop.Learner(pupil, build(pupil, None), (known, build(known, None).eval()))
    learner.start(Phase(1, 1e-3, 0), 1)
    sides: list[tuple[str, int]] = []

    def looking(who: str, network: Network) -> None:
        maps = network.maps
        monkeypatch.setattr(network, "maps", lambda x: (sides.append((who, x.shape[-1])), maps(x))[1])

    looking("pupil", learner.network)
    looking("teacher", learner.teacher[1])  # type: ignore[index]
    film = torch.rand(2, 1, 96, 96)
    films = FilmSet(film, torch.zeros(2, dtype=torch.long), torch.ones(2), None, np.array(["", ""]))
    learner.step(films, torch.arange(2), None)
    learner.step(films, torch.arange(2), 32)
    learner.match(film, 32, 64)
    assert sides == [("pupil", 96), ("teacher", 64), ("pupil", 32), ("teacher", 64), ("pupil", 32), ("teacher", 32)]


def test_a_phase_without_labels_needs_a_teacher(data: Path, tmp_path: Path) -> None:
    films = split(load(data, "bone_fracture"), 0)
    with pytest.raises(ValueError, match="no teacher to match"):
        loop.fit(PUPIL, *films, tmp_path / "work")


def test_the_first_phase_asks_for_no_label(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: Recipe = replace(
        PUPIL, input=replace(PUPIL.input, size=64), phases=(Phase(1, 1e-3, 0, crop=32), Phase(1, 1e-3, 0)), batch=4
    )
    train, val = split(load(data, "bone_fracture"), 0)
    also = load(data, "fracture_type")
    seen: dict[str, list[Any]] = {"match": [], "step": []}
    match, step = loop.Learner.match, loop.Learner.step

    def matching(self: loop.Learner, planes: Tensor, side: int, size: int | None) -> float:
        seen["match"].append((len(planes), side))
        return match(self, planes, side, size)

    def stepping(self: loop.Learner, films: FilmSet, rows: Tensor, size: int | None) -> float:
        seen["step"].append(rows)
        return step(self, films, rows, size)

    monkeypatch.setattr(loop.Learner, "match", matching)
    monkeypatch.setattr(loop.Learner, "step", stepping)
    teacher = build(TEACHER, None).eval()
    loop.fit(recipe, train, val, tmp_path / "work", loop.Given(teacher=(TEACHER, teacher), also=also))
    assert seen["match"] == [(4, 32)] * ((len(train) + len(also)) // 4)
    assert len(seen["step"]) == len(train) // 4
    assert int(torch.cat(seen["step"]).max()) < len(train)
