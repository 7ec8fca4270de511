"""A head on another network's features: the narrowed trunk, where it looks, what it learns, and what is beside it."""

import csv
import sys
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from predictors.architectures import ResNet18
from predictors.spec import ModelSpec
from tests.training.conftest import draw_collection
from tests.training.test_train import assert_card_states_the_spec, assert_release_is_whole
from training import figures, loop, probe, train
from training.collections import Example, load, split
from training.film_set import FilmSet, network_ready
from training.narrow import RANKS, AttendedEvidence, backbone, narrow
from training.networks import FAR, KerasMirror, TwoScales, build, recalibrate
from training.recipes import RECIPES, Recipe
from training.record import save_weights

READER = RECIPES["fracture_detection"]


def reader(seed: int = 0) -> ResNet18:
    """A second reader as training leaves one, its normalisations with statistics of their own."""
    torch.manual_seed(seed)
    network = build(READER, None)
    assert isinstance(network, ResNet18)
    with torch.no_grad():
        for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
            norm.weight.uniform_(0.6, 1.4)
            norm.bias.normal_(0, 0.2)
    recalibrate(network, films())
    return network.eval()


def films() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(8, 3, 12, 12, generator=generator).repeat_interleave(8, 2).repeat_interleave(8, 3)] * 2


def last_features(trunk: nn.Sequential, source: ResNet18) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return trunk(films()[0]), source.maps(films()[0])[-1]


# The trunk


def test_stages_of_few_directions_are_taken_whole() -> None:
    source, trunk = reader(), backbone().eval()
    with torch.no_grad():
        for stage, rank in ((source.net.layer3, RANKS[2]), (source.net.layer4, RANKS[3])):
            for convolution in (c for block in stage for c in (block.conv1, block.conv2)):
                left, middle, right = torch.linalg.svd(convolution.weight.flatten(1), full_matrices=False)
                few = left[:, : rank - 4] @ torch.diag(middle[: rank - 4]) @ right[: rank - 4]
                convolution.weight.copy_(few.view_as(convolution.weight))
    narrow(trunk, source, films())
    ours, theirs = last_features(trunk, source)
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-3 * float(theirs.abs().max()))


def test_of_more_directions_it_takes_those_in_which_the_films_differ_most() -> None:
    source, trunk = reader(), backbone().eval()
    narrow(trunk, source, films())
    with torch.no_grad():
        torch.testing.assert_close(trunk[:-2](films()[0]), source.maps(films()[0])[2], rtol=1e-3, atol=1e-3)
    ours, theirs = last_features(trunk, source)
    alike = float(torch.cosine_similarity(ours, theirs, dim=1).mean())
    assert 0.5 < alike < 0.9999
    for few, spread in (pair for block in trunk[-1] for pair in (block.first, block.second)):
        directions = torch.linalg.qr(torch.randn(*spread.weight.shape[:2]))[0]  # as many, but any
        whole = torch.einsum("or,rikl->oikl", spread.weight[:, :, 0, 0], few.weight)
        few.weight.data = torch.einsum("or,oikl->rikl", directions, whole).detach()
        spread.weight.data = directions[:, :, None, None]
    assert float(torch.cosine_similarity(last_features(trunk, source)[0], theirs, dim=1).mean()) < alike


# The evidence


def test_the_mean_of_the_evidence_is_linear_in_the_two_means() -> None:
    torch.manual_seed(0)
    evidence, features = AttendedEvidence(6, 2), torch.randn(3, 6, 4, 5)
    everywhere, there = evidence.everywhere.weight[:, :, 0, 0], evidence.there.weight[:, :, 0, 0]
    bias = evidence.everywhere.bias
    assert bias is not None
    expected = evidence.means(features) @ torch.cat([everywhere, there], 1).T + bias
    torch.testing.assert_close(evidence(features).mean((2, 3)), expected)


def test_it_looks_where_its_layer_says() -> None:
    evidence, features = AttendedEvidence(2, 1), torch.zeros(1, 2, 3, 3)
    features[0, 0, 1, 2], features[0, 1] = 50.0, torch.arange(9.0).view(3, 3)
    with torch.no_grad():
        evidence.where.weight.copy_(torch.tensor([1.0, 0.0])[None, :, None, None])
    mean, looked = evidence.means(features)[0].split(2)
    assert mean.tolist() == pytest.approx([50 / 9, 4.0])
    assert looked.tolist() == pytest.approx([50.0, 5.0])  # the features of that one position


# The head


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    recipe = RECIPES["fracture_type"]
    recipe = replace(recipe, input=replace(recipe.input, size=64))
    monkeypatch.setitem(RECIPES, "fracture_type", recipe)
    own = RECIPES["fissures"]
    monkeypatch.setitem(RECIPES, "fissures", replace(own, input=replace(own.input, size=64), batch=16))
    return recipe


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    draw_collection(tmp_path / "fracture_type", ("fisura", "fractura"), ("bone_break", "science_research"), groups=8)
    return tmp_path


def head_of(network: object) -> Tensor:
    assert isinstance(network, KerasMirror)
    assert isinstance(network.evidence, AttendedEvidence)
    return torch.cat([network.evidence.everywhere.weight, network.evidence.there.weight], 1).flatten()


def test_validation_films_choose_nothing_of_the_head(recipe: Recipe, drawn: Path) -> None:
    train_films, val = split(load(drawn, "fracture_type"), recipe.seed)

    def head(val: list[Example], work: str) -> Tensor:
        network = probe.fit_head(probe.near_part(recipe), (READER, reader()), train_films, val, drawn / work)
        return head_of(network)

    others = [replace(e, label="fisura" if e.label == "fractura" else "fractura") for e in val]
    first = head(val, "a")
    assert first.abs().max() > 0
    assert torch.equal(head(others, "b"), first)
    figures = [list(csv.DictReader((drawn / work / "history.csv").open())) for work in "ab"]
    chosen, changed = ([row["auc"] for row in rows] for rows in figures)
    assert chosen != changed
    assert [row["penalty"] for row in figures[0]] == [str(penalty) for penalty in probe.PENALTIES]


def test_a_film_is_judged_in_the_folds_by_films_of_other_groups(recipe: Recipe) -> None:
    """Features that name the group, and labels that are the groups' own: nothing to learn from others."""
    groups = np.arange(40).repeat(3)
    features = np.eye(40, dtype=np.float32)[groups][None].repeat(2, 0)
    positive = np.arange(40).repeat(3) % 2 == 0
    shown = probe.Shown(
        features, positive, np.ones(120, np.float32), np.array([""] * 120), [str(group) for group in groups]
    )
    log_odds = shown.judged_by_others(1000.0, 0)
    assert np.abs(log_odds).max() < 1
    known = probe.said(shown.learnt(np.arange(120), 1000.0), features[0])
    assert ((known[:, 0] > 0) == positive).all()
    assert np.abs(known).min() > 1


def test_the_network_says_what_its_head_learnt(recipe: Recipe, drawn: Path) -> None:
    train_films, val = split(load(drawn, "fracture_type"), recipe.seed)
    near = probe.near_part(recipe)
    network = probe.fit_head(near, (READER, reader()), train_films, val, drawn / "work")
    planes = FilmSet.read(val, near, drawn / "work").planes
    features = probe.features_of(network, planes, near)
    with torch.no_grad():
        logits = network(network_ready(planes.float(), near.input, None))[0]
    expected = features @ head_of(network).detach().numpy()
    said = logits[:, 0].numpy()
    assert np.ptp(said) > 0.1
    assert np.allclose(said - said.mean(), expected - expected.mean(), atol=1e-3)
    # What is there already is given again, without a film or a trunk.
    again = probe.fit_head(near, (READER, reader(seed=5)), [], [], drawn / "work")
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_the_two_have_the_same_say_and_are_added(recipe: Recipe, drawn: Path) -> None:
    _, val = split(load(drawn, "fracture_type"), recipe.seed)
    near, far = probe.near_part(recipe), RECIPES["fissures"]
    parts = []
    for part in (near, far):
        torch.manual_seed(0)
        network = build(part, None)
        assert isinstance(network, KerasMirror)
        recalibrate(network, [network_ready(FilmSet.read(val, part, drawn).planes.float(), part.input, None)])
        for parameter in network.evidence.parameters():
            parameter.data *= 300  # so that random networks tell the films apart
        parts.append(network.eval())
    before = [deepcopy(part) for part in parts]
    both = probe.joined((near, parts[0]), (far, parts[1]), val, drawn)
    assert isinstance(both, TwoScales)
    planes = FilmSet.read(val, recipe, drawn).planes.float()
    with torch.no_grad():
        logits, evidence, _ = both(network_ready(planes, recipe.input, None))
        # The far one sees it at its own size, whatever that of the film is.
        films_of = [planes, torch.nn.functional.interpolate(planes, (FAR, FAR), mode="bilinear", align_corners=False)]
        alone = [
            part(network_ready(seen, its.input, None))[0]
            for part, seen, its in zip(before, films_of, (near, far), strict=True)
        ]
    said = [
        loop.logits_of(part, FilmSet.read(val, its, drawn), its.input)
        for part, its in zip(before, (near, far), strict=True)
    ]
    assert min(spread.std() for spread in said) > 0.1
    expected = sum(log_odds / float(spread.std()) for log_odds, spread in zip(alone, said, strict=True))
    assert float(logits.std()) > 0.1
    torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-3)
    assert evidence.shape == (len(val), 1, 2, 2)


def test_the_command_learns_a_head_and_releases_it(
    recipe: Recipe, drawn: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "RESAMPLES", 40)
    weights, out = drawn / "reader.pth", drawn / "out"
    save_weights(reader(), READER, weights)

    def command(*more: object) -> None:
        arguments = ["fracture_type", "--data", drawn, "--out", out, "--work", drawn / "runs", *more]
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        train.main()

    for wrong in (["--scratch"], ["--scratch", "--trunk", weights, "--onward", weights]):
        with pytest.raises(SystemExit):
            command(*wrong)
        assert "name its weights of record (--trunk)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command("--trunk", weights)
    assert "name their folder (--backbones)" in capsys.readouterr().err
    command("--trunk", weights, "--scratch", "--epochs", 1)
    spec = assert_release_is_whole(out, recipe)
    assert isinstance(spec, ModelSpec)
    assert_card_states_the_spec(out, spec)
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "a logistic regression on the mean of the features" in card
    assert "--backbones FOLDER --trunk weights/fracture_detection/model.pth" in card
    assert "From random weights." in card
    assert "ImageNet weights" not in card
    assert spec.metrics["validation"]["auroc"] > 0.8  # a bright bar is seen with any features
