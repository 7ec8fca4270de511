import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from predictors.architectures import pooled
from training.collections import Example
from training.film_set import network_ready, targets_of, weights_of
from training.grow import grow
from training.matching import margin
from training.networks import (
    KerasMirror,
    TwoScales,
    Whole,
    build,
    fold_to_half,
    freeze,
    recalibrate,
    stages,
    unfold,
)
from training.recipes import RECIPES, Recipe
from training.record import read_weights

SIZE = 96  # three cells a side in the last map: a middle and its borders, so that every padding shows


def small(name: str, **changes: Any) -> Recipe:
    recipe = RECIPES[name]
    return replace(recipe, input=replace(recipe.input, size=SIZE), **changes)


def pictures(recipe: Recipe, count: int = 2, seed: int = 0) -> Tensor:
    """Network input of blocks and noise."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.rand(count, 3, SIZE // 8, SIZE // 8, generator=generator).repeat_interleave(8, 2)
    blocks = blocks.repeat_interleave(8, 3)
    planes = 0.7 * blocks + 0.3 * torch.rand(count, 3, SIZE, SIZE, generator=generator)
    return network_ready(planes, recipe.input, None)


def trained(recipe: Recipe, seed: int = 0) -> Whole:
    """A network as training leaves one: every normalisation has measured statistics and a scale and bias."""
    torch.manual_seed(seed)
    network = build(recipe, None)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.6, 1.4)
                module.bias.normal_(0, 0.2)
        for parameter in list(network.parameters())[-2:]:  # the evidence layer
            parameter.normal_(0, 0.1)
    # Statistics of the network as it is: others would let its values grow from layer to layer, and with them the
    # rounding that the tests compare.
    recalibrate(network, [pictures(recipe, 16, seed=9)])
    return network.eval()


def alike(ours: Any, theirs: Any) -> float:
    """Largest difference as a fraction of the largest value."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.ptp(theirs) > 1e-3, "the pictures must differ for the comparison to mean anything"
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


# The mirror and the Keras file


@pytest.mark.filterwarnings("ignore:.*np.object.*:FutureWarning")
@pytest.mark.parametrize(
    ("name", "file", "pooling"),
    [
        ("pneumonia", "model.h5", "mean"),
        ("breast_cancer", "model.keras", "logsumexp"),
        ("bone_fracture", "model.keras", "logsumexp"),
        ("bone_fracture", "model.h5", "mean"),
        ("fracture_type", "model.h5", "mean"),
    ],
)
def test_the_keras_file_computes_what_its_mirror_learnt(name: str, file: str, pooling: Any, tmp_path: Path) -> None:
    from training import keras_files

    keras = keras_files.keras
    recipe = small(name, pooling=pooling)
    network = trained(recipe)
    assert isinstance(network, KerasMirror | TwoScales)
    keras_files.save(network, recipe, tmp_path / file)
    model = keras.models.load_model(tmp_path / file, compile=False, safe_mode=True)
    assert tuple(model.input_shape) == (None, SIZE, SIZE, 3)
    if file.endswith(".keras"):
        with zipfile.ZipFile(tmp_path / file) as archive:
            assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    else:
        kernels: list[str | None] = []
        with h5py.File(tmp_path / file) as archive:
            archive.visititems(lambda _, item: kernels.append(item.compression) if getattr(item, "shape", ()) else None)
        assert len(kernels) > 40
        assert set(kernels) == {"gzip"}
    assert [path.name for path in tmp_path.iterdir()] == [file]

    batch = pictures(recipe, 3)
    with torch.no_grad():
        logits, evidence, _ = network(batch)
    keras_logits, keras_evidence = model(batch.permute(0, 2, 3, 1).numpy(), training=False)
    assert evidence.shape == (3, 1, SIZE // 32, SIZE // 32)
    assert alike(logits, keras_logits) < 1e-4
    assert alike(evidence.permute(0, 2, 3, 1), keras_evidence) < 1e-4

    # And back: a training goes on from the file, at another size if it likes.
    again = build(recipe, None).eval()
    read_weights(again, tmp_path / file)
    with torch.no_grad():
        assert torch.equal(again(batch)[0], logits)


def test_weights_of_another_network_are_not_copied() -> None:
    from training import keras_files

    network = KerasMirror("mobilenet_v2", 1, "mean")
    with pytest.raises(ValueError, match="layers to copy"):
        keras_files.copy_weights(network, keras_files.keras_model(small("bone_fracture")))


# Folding


# Without the rounding the function stays to float precision; with it, a random network has little to be sure of,
# and what one layer rounds the next ones magnify.
@pytest.mark.parametrize(("rounded", "tolerance"), [(False, 2e-4), (True, 0.08)])
@pytest.mark.parametrize("name", ["pneumonia", "bone_fracture", "fracture_detection", "fracture_type", "scope"])
def test_folding_keeps_the_function_up_to_the_rounding(
    name: str, rounded: bool, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small(name)
    network, batch = trained(recipe), pictures(recipe, 3)
    with torch.no_grad():
        before = network(batch)
    if not rounded:
        monkeypatch.setattr(torch.Tensor, "half", lambda value: value)
    fold_to_half(network)
    with torch.no_grad():
        after = network(batch)
    assert alike(after[0], before[0]) < tolerance
    assert alike(after[1], before[1]) < tolerance


@pytest.mark.parametrize("name", ["pneumonia", "bone_fracture", "fracture_detection"])
def test_a_second_fold_changes_nothing(name: str) -> None:
    network = trained(small(name))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fold_to_half(network)
    once = {key: value.clone() for key, value in network.state_dict().items()}
    fold_to_half(network)
    assert any(not torch.equal(value, before[key]) for key, value in once.items())
    assert all(torch.equal(value, once[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["bone_fracture", "fracture_detection"])
def test_an_unfolded_network_computes_the_same_and_knows_its_films(name: str) -> None:
    recipe = small(name)
    network, films = trained(recipe), pictures(recipe, 16)
    fold_to_half(network)
    with torch.no_grad():
        before = network(films)
    unfold(network, [films])
    with torch.no_grad():
        after = network(films)
    assert alike(after[0], before[0]) < 2e-4
    assert alike(after[1], before[1]) < 2e-4
    first = next(m for m in network.modules() if isinstance(m, nn.BatchNorm2d))
    seen = []
    first.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        network(films)
    assert torch.allclose(first.running_mean, seen[0].mean((0, 2, 3)), atol=1e-4)
    assert torch.allclose(first.running_var, seen[0].var((0, 2, 3), unbiased=False), rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize("name", ["pneumonia", "fracture_detection"])
def test_after_folding_every_weight_is_a_half_and_every_normalisation_adds_a_bias_only(name: str) -> None:
    network = trained(small(name))
    fold_to_half(network)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    scales = {id(norm.weight) for norm in norms}
    rounded = [p for p in network.parameters() if id(p) not in scales]
    assert all(torch.equal(p, p.half().float()) for p in rounded)
    x = torch.randn(2, norms[0].num_features, 4, 4)
    with torch.no_grad():
        assert torch.allclose(norms[0](x), x + norms[0].bias[:, None, None], atol=1e-5)
    assert any(norm.bias.abs().max() > 0.05 for norm in norms)


# Freezing


def step(network: Whole, recipe: Recipe) -> set[int]:
    """One large step; the stages whose weights or statistics it changed."""

    def values(part: nn.Module) -> list[Tensor]:
        return [value.clone() for value in part.state_dict().values()]

    parts = list(stages(network).children())
    before = [values(part) for part in parts]
    parameters = [p for p in network.parameters() if p.requires_grad]
    logits, evidence, features = network(pictures(recipe, 4))
    (logits.square().sum() + evidence.sum() + features.sum()).backward()
    torch.optim.SGD(parameters, 0.1).step()
    return {
        i
        for i, part in enumerate(parts)
        if not all(torch.equal(a, b) for a, b in zip(before[i], values(part), strict=True))
    }


@pytest.mark.parametrize(("name", "frozen"), [("pneumonia", 4), ("bone_fracture", 3), ("fracture_detection", 2)])
def test_frozen_stages_keep_weights_and_statistics_and_later_ones_learn(name: str, frozen: int) -> None:
    recipe = small(name)
    network = trained(recipe)
    freeze(network, frozen)
    assert step(network, recipe) == set(range(frozen, len(list(stages(network).children()))))


@pytest.mark.parametrize("name", ["pneumonia", "fracture_detection", "scope"])
def test_with_all_stages_frozen_the_last_layer_still_learns(name: str) -> None:
    recipe = small(name)
    network = trained(recipe)
    freeze(network, -1)
    last = list(network.parameters())[-2:]
    before = [parameter.detach().clone() for parameter in last]
    assert step(network, recipe) == set()
    assert not any(torch.equal(a, b) for a, b in zip(before, last, strict=True))


def test_a_later_phase_thaws_what_an_earlier_one_froze() -> None:
    recipe = small("pneumonia")
    network = trained(recipe)
    freeze(network, -1)
    freeze(network, 0)
    assert all(p.requires_grad for p in network.parameters())
    assert all(m.training for m in network.modules())


def test_every_recipes_frozen_stages_exist() -> None:
    for recipe in (recipe for recipe in RECIPES.values() if recipe.phases):
        count = len(list(stages(build(recipe, None)).children()))
        assert all(-1 <= phase.frozen < count for phase in recipe.phases), recipe.name


# Recalibration


def test_recalibration_measures_the_films() -> None:
    recipe = small("pneumonia")
    network = build(recipe, None)
    assert isinstance(network, KerasMirror)
    first_convolution, first_norm = network.backbone[0][0], network.backbone[0][1]
    batches = [pictures(recipe, 4, seed) for seed in range(3)]
    recalibrate(network, batches)
    with torch.no_grad():
        responses = [first_convolution(batch).transpose(0, 1).flatten(1) for batch in batches]
    mean = torch.stack([r.mean(1) for r in responses]).mean(0)
    variance = torch.stack([r.var(1) for r in responses]).mean(0)
    assert torch.allclose(first_norm.running_mean, mean, atol=1e-5)
    assert torch.allclose(first_norm.running_var, variance, rtol=1e-4)
    assert not network.training
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.05}


def test_recalibration_forgets_what_was_measured_before() -> None:
    recipe = small("fracture_detection")
    network = trained(recipe)
    batch = pictures(recipe, 4)
    recalibrate(network, [batch])
    once = {name: value.clone() for name, value in network.state_dict().items()}
    recalibrate(network, [pictures(recipe, 4, seed=5)])
    recalibrate(network, [batch])
    assert all(torch.equal(value, once[name]) for name, value in network.state_dict().items())


# Pooling, margins, weights, input


def test_logsumexp_pooling_is_the_log_of_the_mean_of_exponentials() -> None:
    evidence = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 3
    expected = np.log(np.exp(evidence.double().numpy()).mean((2, 3)))
    assert np.allclose(pooled(evidence, "logsumexp").numpy(), expected, atol=1e-5)
    assert torch.allclose(pooled(evidence, "mean"), evidence.mean((2, 3)))


def test_logsumexp_pooling_of_an_even_map_is_its_value_and_one_position_can_rule() -> None:
    even = torch.full((1, 1, 7, 7), 1.5)
    assert pooled(even, "logsumexp").item() == pytest.approx(1.5, abs=1e-5)
    even[0, 0, 3, 3] = 200
    assert pooled(even, "logsumexp").item() == pytest.approx(200 - math.log(49), abs=1e-4)


def test_margin_is_the_log_odds_of_the_positive_label() -> None:
    two = torch.tensor([[1.0, 4.0], [2.0, -1.0]])
    assert margin(two, 1).tolist() == [3.0, -3.0]
    assert margin(two, 0).tolist() == [-3.0, 3.0]
    assert margin(torch.tensor([[0.7], [-0.2]]), 1).tolist() == pytest.approx([0.7, -0.2])
    maps = torch.randn(2, 2, 3, 3)
    assert torch.equal(margin(maps, 1), maps[:, 1] - maps[:, 0])


def examples(*counts: tuple[str, str, int], fact: str = "") -> list[Example]:
    return [
        Example(Path("f.jpg"), label, "g", source, facts={fact: source} if fact else {})
        for label, source, count in counts
        for _ in range(count)
    ]


COUNTS = (("normal", "a", 30), ("normal", "b", 10), ("pneumonia", "a", 5), ("pneumonia", "b", 200))


@pytest.mark.parametrize(("balance", "fact"), [("label", ""), ("source", ""), ("scanner", "scanner")])
def test_weights_sum_to_the_same_for_every_label_and_to_one_a_film(balance: Any, fact: str) -> None:
    films = examples(*COUNTS, fact=fact)
    weights = weights_of(films, small("pneumonia", balance=balance))
    per_label = {label: float(sum(w for w, e in zip(weights, films, strict=True) if e.label == label)) for label in
                 ("normal", "pneumonia")}  # fmt: skip
    assert per_label["normal"] == pytest.approx(per_label["pneumonia"], rel=1e-4)
    assert float(weights.mean()) == pytest.approx(1, rel=1e-5)
    assert float(weights.min()) > 0


def test_weights_by_source_lift_a_rare_source_by_the_square_root() -> None:
    films = examples(*COUNTS)
    weights = weights_of(films, small("pneumonia", balance="source"))
    common, rare = weights[0], weights[30]
    assert float(rare / common) == pytest.approx(math.sqrt(30 / 10), rel=1e-5)
    by_label = weights_of(films, small("pneumonia", balance="label"))
    assert float(by_label[30] / by_label[0]) == pytest.approx(1, rel=1e-5)


def test_targets_follow_the_networks_order_of_labels() -> None:
    films = examples(("fracture", "a", 1), ("normal", "a", 1))
    assert targets_of(films, RECIPES["fracture_detection"]) == [0, 1]
    assert targets_of(examples(("normal", "a", 1), ("pneumonia", "a", 1)), RECIPES["pneumonia"]) == [0, 1]


def test_training_input_is_servings_normalisation_channels_first() -> None:
    from predictors.preprocess import normalised

    for name in ("pneumonia", "bone_fracture", "fracture_detection"):
        spec = small(name).input
        planes = torch.rand(2, 1, SIZE, SIZE)
        expected = normalised(planes[:, 0].numpy(), spec).transpose(0, 3, 1, 2)
        assert np.allclose(network_ready(planes, spec, None).numpy(), expected, rtol=1e-5, atol=1e-5)
    assert network_ready(torch.rand(2, 1, SIZE, SIZE), spec, 64).shape == (2, 3, 64, 64)


# Grown from another network


def grown_pair() -> tuple[KerasMirror, KerasMirror, torch.Tensor]:
    torch.manual_seed(3)
    source = KerasMirror("mobilenet_v2", 1, "mean")
    films = torch.rand(16, 3, 64, 64)
    for refining in (6, 10):  # these two have no place in the grown network: let them add nothing
        [m for m in source.backbone[refining].modules() if isinstance(m, nn.BatchNorm2d)][-1].weight.data.zero_()
    recalibrate(source, [films * 2 - 1])
    target = KerasMirror("efficientnet_b0", 1, "mean")
    grow(target, source)
    recalibrate(target, [films * 255])
    return source, target, films


def test_a_grown_network_starts_as_its_source() -> None:
    """Up to the third stage; further on a network of random weights blows every difference up, a trained one not."""
    source, target, films = grown_pair()
    with torch.no_grad():
        theirs, ours = source.backbone[:4](films * 2 - 1), target.backbone[:3](films)
    assert theirs.shape == ours.shape
    inside = (slice(None), slice(None), slice(2, -2), slice(2, -2))  # the two pad with another grey
    both = torch.stack([theirs[inside].flatten(), ours[inside].flatten()])
    assert torch.corrcoef(both)[0, 1] > 0.95
    both[1] = both[1].roll(1000)
    assert torch.corrcoef(both)[0, 1].abs() < 0.5


def test_new_channels_do_not_reach_old_ones() -> None:
    source, target, _ = grown_pair()
    wide, narrow = target.backbone[3][1].block[0][0].weight, source.backbone[5].conv[0][0].weight
    assert (wide.shape[1], narrow.shape[1]) == (40, 32)
    torch.testing.assert_close(wide[: len(narrow), :32], narrow)
    assert not wide[: len(narrow), 32:].any()
    assert wide[len(narrow) :].any()
    large, small = target.backbone[3][1].block[1][0].weight, source.backbone[5].conv[1][0].weight
    torch.testing.assert_close(large[: len(small), :, 1:4, 1:4], small)
    assert not large[: len(small), :, 0].any()
