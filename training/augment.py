"""Random changes that a film could have gone through without changing what it shows, on whole batches."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from training.recipes import Augmentation


def _uniform(count: int, reach: float) -> Tensor:
    return (torch.rand(count) * 2 - 1) * reach


def _affine(count: int, plan: Augmentation) -> Tensor:
    """Matrices [N, 2, 3] of a random turn, zoom, stretch, shift and flip each, for ``F.affine_grid``."""
    angle = _uniform(count, math.radians(plan.rotate))
    zoom, stretch = torch.exp(_uniform(count, plan.scale)), torch.exp(_uniform(count, plan.stretch))
    mirror = torch.where(torch.rand(count) < 0.5 * plan.flip, -1.0, 1.0)
    upend = torch.where(torch.rand(count) < 0.5 * plan.flip_vertical, -1.0, 1.0)
    across, down = zoom * stretch * mirror, zoom / stretch * upend
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = torch.cos(angle) * across
    matrix[:, 0, 1] = -torch.sin(angle) * down
    matrix[:, 1, 0] = torch.sin(angle) * across
    matrix[:, 1, 1] = torch.cos(angle) * down
    matrix[:, :, 2] = torch.stack([_uniform(count, 2 * plan.shift), _uniform(count, 2 * plan.shift)], dim=1)
    return matrix


def _warp(pictures: Tensor, matrix: Tensor) -> Tensor:
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def _each(chance: float, count: int) -> Tensor:
    return (torch.rand(count) < chance).float().view(-1, 1, 1, 1)


def augment(planes: Tensor, masks: Tensor | None, plan: Augmentation) -> tuple[Tensor, Tensor | None]:
    """Change planes [N, C, H, W] in 0..1, and move the box masks [N, 1, h, w] along with them."""
    count, _, height, width = planes.shape
    matrix = _affine(count, plan)
    planes = _warp(planes, matrix)
    if masks is not None and bool(masks.any()):
        masks = _warp(masks, matrix)

    if plan.grey:
        drop = _each(plan.grey, count)
        planes = drop * planes.mean(1, keepdim=True) + (1 - drop) * planes
    gamma = torch.exp(_uniform(count, plan.gamma)).view(-1, 1, 1, 1)
    gain = 1 + _uniform(count, plan.contrast).view(-1, 1, 1, 1)
    offset = _uniform(count, plan.contrast / 2).view(-1, 1, 1, 1)
    planes = planes.clamp(1e-4, 1).pow(gamma).sub(0.5).mul(gain).add(0.5 + offset)

    blurred = F.interpolate(F.avg_pool2d(planes, 2), size=(height, width), mode="bilinear", align_corners=False)
    blur = _each(plan.blur, count) * torch.rand(count, 1, 1, 1)
    planes = blur * blurred + (1 - blur) * planes
    planes = planes + torch.randn_like(planes) * (torch.rand(count, 1, 1, 1) * plan.noise)

    if plan.erase:
        planes = planes * (1 - _rectangles(count, height, width) * _each(plan.erase, count))
    return planes.clamp(0, 1), masks


def crops(planes: Tensor, side: int) -> Tensor:
    """A random square of ``side`` pixels out of each of the planes [N, C, H, W]."""
    count, _, height, width = planes.shape
    tops, lefts = (torch.randint(0, length - side + 1, (count,)).tolist() for length in (height, width))
    corners = zip(planes, tops, lefts, strict=True)
    return torch.stack([plane[:, top : top + side, left : left + side] for plane, top, left in corners])


def mixed(planes: Tensor) -> Tensor:
    """Half of the planes [N, C, H, W], by chance, mixed with another of them (Zhang et al. 2018, "mixup")."""
    count = len(planes)
    share = torch.where(torch.rand(count) < 0.5, torch.rand(count), torch.ones(count)).view(-1, 1, 1, 1)
    return share * planes + (1 - share) * planes[torch.randperm(count)]


def _rectangles(count: int, height: int, width: int) -> Tensor:
    """One random rectangle a picture, 8% to 25% of each side, as a mask [N, 1, H, W]."""
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    h = torch.empty(count, 1, 1).uniform_(0.08, 0.25) * height
    w = torch.empty(count, 1, 1).uniform_(0.08, 0.25) * width
    top, left = torch.rand(count, 1, 1) * (height - h), torch.rand(count, 1, 1) * (width - w)
    inside = (rows >= top) & (rows < top + h) & (columns >= left) & (columns < left + w)
    return inside.float().unsqueeze(1)
