"""A trained torch mirror becomes the Keras file of record: the same layers in the same order, weights copied."""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from numpy.typing import NDArray
from torch import nn

from training.networks import KERAS_EPSILON, KerasMirror
from training.recipes import Recipe

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
    torch_layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    keras_layers = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D | keras.layers.BatchNormalization)
    ]
    if len(torch_layers) != len(keras_layers):
        raise ValueError(f"{len(torch_layers)} layers to copy into {len(keras_layers)}")
    for source, target in zip(torch_layers, keras_layers, strict=True):
        target.set_weights(_keras_weights(source, target))


def _keras_weights(source: nn.Module, target: Any) -> list[NDArray[np.float32]]:
    if isinstance(source, nn.BatchNorm2d):
        if not isinstance(target, keras.layers.BatchNormalization) or source.eps != KERAS_EPSILON:
            raise ValueError(f"{target.name} is not the batch normalisation expected here")
        tensors = [source.weight, source.bias, source.running_mean, source.running_var]
        return [t.detach().numpy() for t in tensors if t is not None]
    if not isinstance(source, nn.Conv2d):
        raise ValueError(f"{target.name} has no counterpart")
    kernel = source.weight.detach().numpy()
    if isinstance(target, keras.layers.DepthwiseConv2D):
        weights = [kernel.transpose(2, 3, 0, 1)]  # C1HW to HWC1
    else:
        weights = [kernel.transpose(2, 3, 1, 0)]  # OIHW to HWIO
    if source.bias is not None:
        weights.append(source.bias.detach().numpy())
    return weights


def save(network: KerasMirror, recipe: Recipe, path: Path) -> None:
    """Write the Keras file (``.keras`` or ``.h5``, by ``path``'s suffix) of a trained mirror."""
    model = keras_model(recipe)
    copy_weights(network, model)
    model.save(path)
