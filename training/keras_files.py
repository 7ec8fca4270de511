"""A trained torch mirror becomes the Keras file of record: the same layers in the same order, weights copied."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.networks import KERAS_EPSILON, KerasMirror
from training.recipes import Recipe

Array = NDArray[np.float32]
Move = Callable[[Array], Array]

BACKBONES = {
    "mobilenet_v2": keras.applications.MobileNetV2,
    "efficientnet_b0": keras.applications.EfficientNetB0,
}


def keras_model(recipe: Recipe) -> keras.Model:
    """``keras.applications``' backbone with an evidence layer: input [N, H, W, 3], outputs logits and evidence.

    Only layers and operations of Keras itself, so that the file loads in safe mode without any code of ours.
    """
    shape = (recipe.input.size, recipe.input.size, 3)
    backbone = BACKBONES[recipe.architecture](include_top=False, weights=None, input_shape=shape)
    outputs = 1 if recipe.activation == "sigmoid" else len(recipe.labels)
    evidence = keras.layers.Conv2D(outputs, 1, name="evidence")(backbone.output)
    if recipe.pooling == "mean":
        logits = keras.layers.GlobalAveragePooling2D(name="logits")(evidence)
    else:
        positions = evidence.shape[1] * evidence.shape[2]
        logits = keras.ops.logsumexp(evidence, axis=(1, 2)) - float(np.log(positions))
    return keras.Model(backbone.input, [logits, evidence], name=recipe.name)


def copy_weights(network: KerasMirror, model: keras.Model) -> None:
    """Copy every weight of ``network`` into ``model``; ValueError if the two do not have the same layers."""
    for source, target in _counterparts(network, model):
        target.set_weights([axes_moved(tensor.detach().numpy()) for tensor, axes_moved, _ in _weights(source, target)])


@torch.no_grad()
def read(network: KerasMirror, path: Path) -> None:
    """Fill ``network`` with the weights of a Keras file of record; ValueError if they are another network's."""
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    for source, target in _counterparts(network, model):
        for (tensor, _, moved_back), value in zip(_weights(source, target), target.get_weights(), strict=True):
            tensor.copy_(torch.from_numpy(np.ascontiguousarray(moved_back(value))))


def _counterparts(network: KerasMirror, model: keras.Model) -> list[tuple[nn.Module, Any]]:
    """Every layer of the mirror with weights, and Keras' own."""
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


def save(network: KerasMirror, recipe: Recipe, path: Path) -> None:
    """Write the Keras file (``.keras`` or ``.h5``, by ``path``'s suffix) of a trained mirror."""
    model = keras_model(recipe)
    copy_weights(network, model)
    model.save(path)
    if path.suffix == ".keras":
        _deflate(path)


def _deflate(path: Path) -> None:
    """Compress a ``.keras`` file, a ZIP archive that Keras only stores: weights that were rounded to half precision
    and lie there in single are half zeros."""
    packed = path.with_suffix(".packed")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as smaller:
        for entry in whole.infolist():
            smaller.writestr(entry, whole.read(entry), zipfile.ZIP_DEFLATED)
    packed.replace(path)
