"""A trained torch mirror becomes the Keras file of record: the same layers in the same order, weights copied."""

import os
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import h5py
import keras
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training import narrow
from training.networks import FAR, KERAS_EPSILON, NARROW, TWO_SCALES, KerasMirror, TwoScales
from training.recipes import IMAGENET_MEAN, IMAGENET_STD, Recipe

Array = NDArray[np.float32]
Move = Callable[[Array], Array]

APPLICATIONS = {
    "mobilenet_v2": keras.applications.MobileNetV2,
    "efficientnet_b0": keras.applications.EfficientNetB0,
}


def keras_model(recipe: Recipe) -> keras.Model:
    """The mirror's backbone and evidence layer in Keras: input [N, H, W, 3], outputs logits and evidence.

    Only layers and operations of Keras itself, so that the file loads in safe mode without any code of ours.
    """
    if recipe.architecture == TWO_SCALES:
        return _at_two_scales(recipe)
    shape = (recipe.input.size, recipe.input.size, 3)
    outputs = 1 if recipe.activation == "sigmoid" else len(recipe.labels)
    if recipe.architecture == NARROW:
        films = keras.Input(shape)
        evidence = _attended(_narrow_resnet18(films), outputs)
    else:
        backbone = APPLICATIONS[recipe.architecture](include_top=False, weights=None, input_shape=shape)
        films = backbone.input
        evidence = keras.layers.Conv2D(outputs, 1, name="evidence")(backbone.output)
    if recipe.pooling == "mean":
        logits = keras.layers.GlobalAveragePooling2D(name="logits")(evidence)
    else:
        positions = evidence.shape[1] * evidence.shape[2]
        logits = keras.ops.logsumexp(evidence, axis=(1, 2)) - float(np.log(positions))
    return keras.Model(films, [logits, evidence], name=recipe.name)


def _at_two_scales(recipe: Recipe) -> keras.Model:
    """``training.networks.TwoScales``: two networks, each a layer of this one."""
    layers = keras.layers
    films = keras.Input((recipe.input.size, recipe.input.size, 3))
    near = keras_model(replace(recipe, architecture=NARROW, name="near"))
    far_recipe = replace(recipe, architecture="mobilenet_v2", input=replace(recipe.input, size=FAR), name="far")
    far = keras_model(far_recipe)
    mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
    rescaled = layers.Rescaling((0.5 / std).tolist(), ((0.5 - mean) / std).tolist())(films)
    logits, evidence = near(rescaled)
    far_logits, far_evidence = far(layers.Resizing(FAR, FAR)(films))
    far_evidence = layers.Resizing(*evidence.shape[1:3])(far_evidence)
    logits = layers.Add(name="logits")([logits, far_logits])
    evidence = layers.Add(name="evidence")([evidence, far_evidence])
    return keras.Model(films, [logits, evidence], name=recipe.name)


def _narrow_resnet18(x: Any) -> Any:
    """``training.narrow.backbone``, which pads as torch does: the same before as after."""
    layers = keras.layers

    def convolved(x: Any, outputs: int, size: int, stride: int = 1, bias: bool = True) -> Any:
        x = layers.ZeroPadding2D(size // 2)(x) if size > 1 else x
        return layers.Conv2D(outputs, size, stride, use_bias=bias)(x)

    def block(x: Any, outputs: int, rank: int | None) -> Any:
        stride = 1 if x.shape[-1] == outputs else 2

        def side(x: Any, stride: int) -> Any:
            if rank is None:
                return convolved(x, outputs, 3, stride)
            return convolved(convolved(x, rank, 3, stride, bias=False), outputs, 1)

        seen = side(layers.ReLU()(side(x, stride)), 1)
        return layers.ReLU()(layers.Add()([seen, x if stride == 1 else convolved(x, outputs, 1, stride)]))

    x = layers.ReLU()(convolved(x, narrow.WIDTHS[0], 7, 2))
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))  # after a ReLU, zeros beside it are never the largest
    for outputs, rank in zip(narrow.WIDTHS, narrow.RANKS, strict=True):
        x = block(block(x, outputs, rank), outputs, rank)
    return x


def _attended(features: Any, outputs: int) -> Any:
    """``training.narrow.AttendedEvidence``."""
    layers = keras.layers
    where = layers.Conv2D(1, 1)(features)
    positions = where.shape[1] * where.shape[2]
    weights = layers.Rescaling(positions)(layers.Softmax()(layers.Reshape((positions,))(where)))
    there = layers.Conv2D(outputs, 1, use_bias=False)(features)
    there = layers.Multiply()([layers.Reshape((*where.shape[1:3], 1))(weights), there])
    return layers.Add(name="evidence")([there, layers.Conv2D(outputs, 1)(features)])


def copy_weights(network: KerasMirror | TwoScales, model: keras.Model) -> None:
    """Copy every weight of ``network`` into ``model``; ValueError if the two do not have the same layers."""
    for source, target in _counterparts(network, model):
        target.set_weights([axes_moved(tensor.detach().numpy()) for tensor, axes_moved, _ in _weights(source, target)])


@torch.no_grad()
def read(network: KerasMirror | TwoScales, path: Path) -> None:
    """Fill ``network`` with the weights of a Keras file of record; ValueError if they are another network's."""
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    for source, target in _counterparts(network, model):
        for (tensor, _, moved_back), value in zip(_weights(source, target), target.get_weights(), strict=True):
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(moved_back(value))))


def _counterparts(network: KerasMirror | TwoScales, model: keras.Model) -> list[tuple[nn.Module, Any]]:
    """Every layer of the mirror with weights, and Keras' own."""
    if isinstance(network, TwoScales):
        parts = {layer.name: layer for layer in model.layers if isinstance(layer, keras.Model)}
        return _counterparts(network.near, parts["near"]) + _counterparts(network.far, parts["far"])
    torch_layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    keras_layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.BatchNormalization)
    ]
    if len(torch_layers) != len(keras_layers):
        raise ValueError(f"{len(torch_layers)} layers to copy into {len(keras_layers)}")
    return list(zip(torch_layers, keras_layers, strict=True))


def _weights(source: nn.Module, target: Any) -> list[tuple[Tensor, Move, Move]]:
    """A layer's tensors in Keras' order, each with how its axes are moved to Keras' order and back."""
    if isinstance(source, nn.BatchNorm2d):
        if not isinstance(target, keras.layers.BatchNormalization) or source.eps != KERAS_EPSILON:
            raise ValueError(f"{target.name} is not the batch normalisation expected here")
        tensors = [source.weight, source.bias, source.running_mean, source.running_var]
        return [(tensor, _as_is, _as_is) for tensor in tensors if tensor is not None]
    if not isinstance(source, nn.Conv2d):
        raise ValueError(f"{target.name} has no counterpart")
    # C1HW to HWC1, or OIHW to HWIO
    there, back = (
        ((2, 3, 0, 1), (2, 3, 0, 1))
        if isinstance(target, keras.layers.DepthwiseConv2D)
        else ((2, 3, 1, 0), (3, 2, 0, 1))
    )
    kernel = (source.weight, lambda k: k.transpose(there), lambda k: k.transpose(back))
    return [kernel] if source.bias is None else [kernel, (source.bias, _as_is, _as_is)]


def _as_is(value: Array) -> Array:
    return value


def save(network: KerasMirror | TwoScales, recipe: Recipe, path: Path) -> None:
    """Write the Keras file (``.keras`` or ``.h5``, by ``path``'s suffix) of a trained mirror."""
    model = keras_model(recipe)
    copy_weights(network, model)
    model.save(path)
    _compress(path)


def _compress(path: Path) -> None:
    """Compress a file that Keras only stores, a ZIP archive (``.keras``) or HDF5 (``.h5``): weights that were rounded
    to half precision and lie there in single are half zeros."""
    packed = path.with_suffix(".packed")
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as smaller:
            for entry in whole.infolist():
                smaller.writestr(entry, whole.read(entry), zipfile.ZIP_DEFLATED)
    else:
        with h5py.File(path) as whole, h5py.File(packed, "w") as smaller:
            _copy(whole, smaller)
    packed.replace(path)


def _copy(whole: h5py.Group, smaller: h5py.Group) -> None:
    """All that a group holds, arrays compressed."""
    smaller.attrs.update(whole.attrs)
    for name, item in whole.items():
        if isinstance(item, h5py.Group):
            _copy(item, smaller.create_group(name))
        else:
            how = {"compression": "gzip", "shuffle": True} if item.shape else {}
            smaller.create_dataset(name, data=item[()], **how).attrs.update(item.attrs)
