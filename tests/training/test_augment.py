import pytest
import torch
from torch import Tensor

from training.augment import augment
from training.recipes import RECIPES, Augmentation

STILL = Augmentation(
    rotate=0, scale=0, stretch=0, shift=0, flip=False, flip_vertical=False,
    gamma=0, contrast=0, noise=0, blur=0, erase=0, grey=0,
)  # fmt: skip
GEOMETRY = Augmentation(flip_vertical=True, gamma=0, contrast=0, noise=0, blur=0, erase=0)


def planes(count: int = 8, channels: int = 1, height: int = 48, width: int = 48) -> Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(0))


def changed(plan: Augmentation, pictures: Tensor, masks: Tensor | None = None, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return augment(pictures, masks, plan)[0]


@pytest.mark.parametrize("name", sorted(RECIPES))
@pytest.mark.parametrize("shape", [(1, 48, 48), (3, 40, 64)])
def test_values_and_shape_stay(name: str, shape: tuple[int, int, int]) -> None:
    pictures = planes(16, *shape)
    result = changed(RECIPES[name].augmentation, pictures)
    assert result.shape == pictures.shape
    assert result.isfinite().all()
    assert result.min() >= 0
    assert result.max() <= 1
    assert all((after - before).abs().mean() > 0.01 for after, before in zip(result, pictures, strict=True))


def test_nothing_changes_when_every_range_is_zero() -> None:
    pictures = planes(channels=3)
    masks = (planes(height=12, width=12) > 0.5).float()
    result, moved = augment(pictures, masks, STILL)
    assert torch.allclose(result, pictures, atol=2e-4)  # the darkest grey is 0.0001, for gamma's sake
    assert moved is not None
    assert torch.allclose(moved, masks, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_mask_moves_with_its_picture(seed: int) -> None:
    count, size, stride = 16, 96, 8
    pictures, masks = torch.zeros(count, 1, size, size), torch.zeros(count, 1, size // stride, size // stride)
    for i in range(count):  # a bright square off the middle, another place in every picture
        row, column = 2 + i % 4, 3 + i // 4
        pictures[i, 0, row * stride : (row + 3) * stride, column * stride : (column + 3) * stride] = 1
        masks[i, 0, row : row + 3, column : column + 3] = 1
    torch.manual_seed(seed)
    result, moved = augment(pictures, masks, GEOMETRY)
    assert moved is not None
    seen = torch.nn.functional.avg_pool2d(result, stride)
    assert (seen - pictures.unfold(2, stride, stride).unfold(3, stride, stride).mean((-1, -2))).abs().max() > 0.5
    assert centre(moved).sub(centre(seen)).abs().max() < 0.35  # of a cell of the mask
    overlap = torch.minimum(seen, moved).sum((1, 2, 3)) / torch.maximum(seen, moved).sum((1, 2, 3))
    assert overlap.min() > 0.6


def centre(maps: Tensor) -> Tensor:
    """Centre of mass [N, 2] of maps [N, 1, H, W], in cells."""
    places = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in maps.shape[2:]), indexing="ij"))
    return (maps * places).sum((2, 3)) / maps.sum((2, 3))


def test_masks_of_films_without_boxes_stay_empty_and_none_stays_none() -> None:
    assert augment(planes(), None, GEOMETRY)[1] is None
    empty = augment(planes(), torch.zeros(8, 1, 6, 6), GEOMETRY)[1]
    assert empty is not None
    assert not empty.any()


def test_a_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    plan, pictures = RECIPES["scope"].augmentation, planes(channels=3)
    assert torch.equal(changed(plan, pictures, seed=1), changed(plan, pictures, seed=1))
    assert not torch.equal(changed(plan, pictures, seed=1), changed(plan, pictures, seed=2))


def test_every_picture_of_a_batch_changes_in_its_own_way() -> None:
    same = planes(1).expand(8, -1, -1, -1)
    result = changed(Augmentation(), same)
    assert all(not torch.equal(result[0], other) for other in result[1:])


def with_only(**ranges: float | bool) -> Augmentation:
    return Augmentation(**{**{name: getattr(STILL, name) for name in STILL.__dataclass_fields__}, **ranges})


@pytest.mark.parametrize(("name", "dimension"), [("flip", 3), ("flip_vertical", 2)])
def test_a_flip_mirrors_about_half_of_the_pictures_and_nothing_else(name: str, dimension: int) -> None:
    pictures = planes(64)
    result = changed(with_only(**{name: True}), pictures)
    kept = torch.tensor([torch.allclose(a, b, atol=1e-3) for a, b in zip(result, pictures, strict=True)])
    mirrored = torch.tensor(
        [torch.allclose(a, b.flip(dimension - 1), atol=1e-3) for a, b in zip(result, pictures, strict=True)]
    )
    assert (kept ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


@pytest.mark.parametrize("flips", [{}, {"flip": True}, {"flip": True, "flip_vertical": True}], ids=str)
def test_turning_and_flipping_keep_a_square_square(flips: dict[str, bool]) -> None:
    pictures = torch.zeros(32, 1, 96, 96)
    pictures[:, :, 32:64, 32:64] = 1
    result = changed(with_only(rotate=30.0, **flips), pictures)
    area = result.sum((1, 2, 3))
    assert (area / area.new_tensor(32.0**2) - 1).abs().max() < 0.02
    # Equal second moments in every direction: neither stretched nor slanted.
    at = torch.arange(96.0) - 47.5
    across = (result * at.view(1, 1, 1, -1) ** 2).sum((1, 2, 3)) / area
    down = (result * at.view(1, 1, -1, 1) ** 2).sum((1, 2, 3)) / area
    slant = (result * at.view(1, 1, -1, 1) * at.view(1, 1, 1, -1)).sum((1, 2, 3)) / area
    assert (across / down - 1).abs().max() < 0.02
    assert (slant / down).abs().max() < 0.02


@pytest.mark.parametrize(
    "ranges", [{"gamma": 0.5}, {"contrast": 0.3}, {"noise": 0.1}, {"blur": 1.0}, {"erase": 1.0}], ids=str
)
def test_photometric_changes_leave_the_geometry_and_the_masks(ranges: dict[str, float]) -> None:
    pictures = torch.zeros(8, 1, 96, 96) + 0.2
    pictures[:, :, 20:50, 30:80] = 0.8
    masks = torch.zeros(8, 1, 12, 12)
    masks[:, :, 3:6, 4:10] = 1
    torch.manual_seed(0)
    result, moved = augment(pictures, masks, with_only(**ranges))
    assert moved is not None
    assert torch.allclose(moved, masks, atol=1e-5)
    assert (result - pictures).abs().amax((1, 2, 3)).max() > 0.05
    inside, outside = result[:, :, 22:48, 32:78].mean((1, 2, 3)), result[:, :, 55:].mean((1, 2, 3))
    assert (inside > outside + 0.2).all()


def test_erasing_blanks_one_rectangle_of_the_stated_size() -> None:
    result = changed(with_only(erase=1.0), torch.ones(32, 1, 100, 200))
    for picture in result[:, 0]:
        rows, columns = torch.nonzero(picture < 0.5, as_tuple=True)
        height, width = int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
        assert len(rows) == height * width
        assert 8 <= height <= 26
        assert 15 <= width <= 51


def test_dropping_colour_makes_the_channels_equal() -> None:
    pictures = planes(channels=3)
    result = changed(with_only(grey=1.0), pictures)
    assert torch.allclose(result, pictures.mean(1, keepdim=True).expand_as(pictures), atol=1e-3)
